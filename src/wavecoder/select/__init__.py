"""Stage `select`: raw code in, the coreset out: the most diverse functions, in pick order.

In: `RawCode`. Out: the same `RawCode`, or `Rejected` as `not_selected` or `secret`.
Files: vectors.npy (a row an input that is not `secret`, then those of the selection that is
extended), radii.npy (the cover radius after each pick; empty with quotas, and with other selectors
than k-center), coverage.json and centers.csv (what was gained, what a pick adds and stands for).
Run it: `wavecoder run RECIPE -o RUN --first select --last select`.
"""

from wavecoder.select.embedders.lexical import Lexical
from wavecoder.select.kcenter import Selection, kcenter_greedy
from wavecoder.select.stage import Select

__all__ = ["Lexical", "Select", "Selection", "kcenter_greedy"]
