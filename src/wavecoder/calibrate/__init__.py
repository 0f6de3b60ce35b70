"""How good is the discriminator? `wavecoder calibrate`.

Known defects are planted into known-good instances; the checks, the sandbox and the judge grade
both, and what each of them caught and falsely refused is counted, with intervals.

`known.py` has the instances, `planting/` the defects; `checking.py`, `running.py` and `judging.py`
are the graders; `engine.py` brings them together, `report.py` counts. A recipe's demand is held
against a calibration by `minimum.meets`.
"""

from wavecoder.calibrate.engine import Graded, Plan, Result, calibrate
from wavecoder.calibrate.known import LANGUAGES
from wavecoder.calibrate.planting import DEFECTS
from wavecoder.calibrate.report import as_json, as_markdown, as_table, rubber_stamp, write
from wavecoder.generate.judge import Minimum, meets

__all__ = [
    "DEFECTS",
    "LANGUAGES",
    "Graded",
    "Minimum",
    "Plan",
    "Result",
    "as_json",
    "as_markdown",
    "as_table",
    "calibrate",
    "meets",
    "rubber_stamp",
    "write",
]
