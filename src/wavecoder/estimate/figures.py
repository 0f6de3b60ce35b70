"""What an estimate says."""

from dataclasses import dataclass

from wavecoder.llm import Price

__all__ = ["Estimate", "ModelEstimate", "Range", "Spent"]


@dataclass(frozen=True)
class Range:
    """From the least to the most."""

    low: float
    high: float

    def __mul__(self, other: "Range") -> "Range":
        """Return the range of the products of two ranges without negative numbers."""
        return Range(self.low * other.low, self.high * other.high)

    def least(self, low: float) -> "Range":
        """Return the part of the range that is at least `low`."""
        return Range(max(self.low, low), max(self.high, low))


@dataclass(frozen=True)
class Spent:
    """What calls used."""

    calls: int
    tokens: int
    """Prompt and completion together."""
    cost: float | None
    """USD; None where a price is unknown."""


@dataclass(frozen=True)
class ModelEstimate:
    """What one model will be asked."""

    model: str
    price: Price | None
    """None: unknown."""
    calls: Range
    prompt_tokens: Range
    completion_tokens: Range
    cost: Range | None
    """USD; None where the price is unknown."""


@dataclass(frozen=True)
class Estimate:
    """What the stage `generate` of a recipe will ask and cost, from its first function on."""

    functions: int
    """How many the coreset has."""
    target: int | None
    asked: int
    """Functions of the sample; 0: none was asked, and all is from lengths alone."""
    failed: int
    """Those of them to which no model replied; they count for nothing."""
    sample: Spent
    """What the sample used, replies included that were there before."""
    rows: Range
    """Functions that will be tried."""
    acceptance: Range | None
    """Share of the functions that become instances; None where none was asked."""
    accepted: Range | None
    calls: Range
    models: tuple[ModelEstimate, ...]
    cost: Range | None
    """USD; None where a price is unknown."""
    cost_per_accepted: Range | None
    """USD; None where a price is unknown, or perhaps nothing is accepted."""
    notes: tuple[str, ...]
    """What it rests on, a sentence each."""
