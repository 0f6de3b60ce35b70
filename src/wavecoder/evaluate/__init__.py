"""Stage `evaluate`: a model's answers to benchmarks, and what became of them in a sandbox.

In: problems of benchmarks (and, in a chain, the checkpoint before it). Out: `Trial`.
`benchmarks/` gives the problems, `prompts.py` puts them to the model, `extraction/` takes the
program out of the answer, `wavecoder.grading` says how it is run and tested, and runs it.
`samples.py` reads answers that others made, in place of a model's.
Run it: `wavecoder evaluate MODEL -b humaneval -o RUN`, `wavecoder score SAMPLES -b humaneval`.
"""

from wavecoder.evaluate.config import EvaluateConfig
from wavecoder.evaluate.stage import Evaluate

__all__ = ["Evaluate", "EvaluateConfig"]
