"""WaveCoder: raw source code in, a judged instruction dataset out, a tuned and measured model.

Start with `pipeline.py` (the stages in order) and `records.py` (what flows between them).
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
