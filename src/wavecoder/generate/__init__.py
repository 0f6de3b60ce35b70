"""Stage `generate`: functions in, judged instances out.

In: `RawCode`, in coreset order. Out: `Instance`, or `Rejected` with the rule or check that refused.
Files: none; the models' replies are in the run's `replies.sqlite`.
Run it: `wavecoder run RECIPE -o RUN --first generate --last generate`.
"""

from wavecoder.generate.stage import Generate

__all__ = ["Generate"]
