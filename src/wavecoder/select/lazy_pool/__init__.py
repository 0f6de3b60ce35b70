"""The fast exact k-center greedy: most distances are never computed, and none is guessed.

`pool.py` holds the rounds and says why they are exact, `prefix.py` the short forms of rows,
`bounds.py` the arithmetic with its rounding slack, `kernels.py` the compiled loops.
"""

from wavecoder.select.lazy_pool.pool import lazy_pool

__all__ = ["lazy_pool"]
