"""What a grader says of a case, and the shares that come of many."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

__all__ = ["GRADERS", "Grade", "Share", "both", "share"]

GRADERS = ("checks", "execution", "checks+execution", "judge", "all")
"""In the order of a table; those with a plus, and `all`, refuse what one of theirs refuses."""


@dataclass(frozen=True)
class Grade:
    """One grader's word on one case."""

    refused: bool | None
    """None where it could not tell: nothing runs, or no model replied. It refuses nothing then."""
    rules: tuple[str, ...] = ()
    """Slugs of all rules that speak against it, the one that refuses it first."""
    reason: str = ""
    prompt_tokens: int | None = 0
    """The judge's alone; None where its endpoint does not say."""
    completion_tokens: int | None = 0


@dataclass(frozen=True)
class Share:
    """So many of so many, with the 95 % interval of E. B. Wilson (1927)."""

    count: int
    of: int

    @property
    def value(self) -> float | None:
        """The share; None of nothing."""
        return self.count / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends; all that is possible where there is nothing."""
        if not self.of:
            return 0.0, 1.0
        z = NormalDist().inv_cdf(0.975)
        seen, weight = self.count / self.of, z**2 / self.of
        middle = (seen + weight / 2) / (1 + weight)
        half = z * math.sqrt(seen * (1 - seen) / self.of + weight / (4 * self.of)) / (1 + weight)
        # Rounding may leave a hair outside of what was seen.
        return max(0.0, min(middle - half, seen)), min(1.0, max(middle + half, seen))

    def __str__(self) -> str:
        """Return it for a table: `95.0 % (90.1 to 97.6) of 120`."""
        if self.value is None:
            return "-"
        low, high = self.interval
        return f"{100 * self.value:.1f} % ({100 * low:.1f} to {100 * high:.1f}) of {self.of:,}"

    def as_table(self) -> dict[str, float | int | None]:
        """Return it for JSON."""
        low, high = self.interval
        return {"count": self.count, "of": self.of, "share": self.value, "low": low, "high": high}


def share(grades: Iterable[Grade | None]) -> Share:
    """Return how many are refused of those that were graded; what could not be told is accepted."""
    told = [one for one in grades if one is not None]
    return Share(sum(one.refused is True for one in told), len(told))


def both(*grades: Grade | None) -> Grade | None:
    """Return the grade of several graders together, the earlier one's rules first.

    None: one of them has not graded it.
    """
    if any(one is None for one in grades):
        return None
    told = [one for one in grades if one is not None]
    refusing = [one for one in told if one.refused]
    return Grade(
        refused=bool(refusing),
        rules=tuple(rule for one in refusing for rule in one.rules[:1]),
        reason=refusing[0].reason if refusing else "",
    )
