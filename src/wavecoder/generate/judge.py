"""How much a recipe demands of a discriminator, held against a calibration that was made before.

Nothing here needs a stage: a recipe is checked before anything is loaded.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["FORMAT", "Minimum", "meets"]

FORMAT = "wavecoder calibration 1"
"""What `calibration.json` says it is."""


class Minimum(BaseModel):
    """What a judge must be able to do before a run may begin."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    caught: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of planted defects that it refuses, at least."""
    falsely_refused: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of known-good instances that it refuses, at most."""


def meets(calibration: Mapping[str, Any], minimum: Minimum, *, judge: str) -> str | None:
    """Return why a calibration does not show what a recipe demands of its judge, or None.

    The shares themselves are compared, not the ends of their intervals: how many instances a
    calibration rests on is its maker's choice.

    Args:
        calibration: What `calibration.json` holds.
        minimum: What is demanded.
        judge: Identity of the model that is to judge.
    """
    again = "Make one: wavecoder calibrate --judge MODEL -o DIR."
    if calibration.get("format") != FORMAT:
        return f"The calibration is no file of this program, or of another version of it. {again}"
    known = calibration.get("judge")
    if not isinstance(known, Mapping) or "judge" not in calibration.get("graders", {}):
        return f"The calibration has graded no judge. {again}"
    if known.get("model") != judge:
        return f"The calibration is of the judge {known.get('model')}, not of {judge}. {again}"
    shares = calibration["graders"]["judge"]
    for name, title, least in (
        ("caught", "catches", True),
        ("falsely_refused", "falsely refuses", False),
    ):
        share, wanted = shares[name]["share"], getattr(minimum, name)
        if share is None:
            return f"The calibration has no instances that show what the judge {title}. {again}"
        if share < wanted if least else share > wanted:
            bound = "at least" if least else "at most"
            what = "planted defects" if least else "known-good instances"
            return (
                f"The judge {judge} {title} {share:.0%} of the {what}; the recipe demands {bound} "
                f"{wanted:.0%}. Take a better judge, or demand less."
            )
    return None
