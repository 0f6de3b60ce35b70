"""Rules that keep or reject raw code; each looks at one function and nothing else.

`functions.py` looks at the function as such, `wording.py` at its text, `authorship.py` at who wrote
it, `secrets.py` for keys and passwords, `contaminated.py` for the problems of benchmarks,
`licenses.py` at the licence. `BUILT_IN` in `functions.py` says in which order they run.
"""

from wavecoder.collect.filters.functions import BUILT_IN

__all__ = ["BUILT_IN"]
