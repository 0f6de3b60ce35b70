"""What a run needs, looked at before it begins: `wavecoder doctor [RECIPE]`.

Each check gives findings of one line: what it looked at, what it found, what to do. A check that
cannot be made is a finding, too, and never the end of the others.
"""

from wavecoder.doctor.findings import Finding, Level
from wavecoder.doctor.machine import look_at_machine
from wavecoder.doctor.recipe import look_at_recipe

__all__ = ["Finding", "Level", "look_at_machine", "look_at_recipe"]
