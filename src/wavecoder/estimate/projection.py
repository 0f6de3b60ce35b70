"""From what the calls of a sample use to what those of a whole run will."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wavecoder.estimate.figures import ModelEstimate, Range, Spent
from wavecoder.estimate.intervals import per_function
from wavecoder.llm import Prices

__all__ = ["Projection", "Usage", "Usages", "spent"]


@dataclass(frozen=True)
class Usage:
    """What one call uses, in tokens."""

    model: str
    prompt: float
    completion: float


Usages = Sequence[Sequence[Usage]]
"""The calls of each function of a sample."""


def _cost(used: Usage, prices: Prices) -> float:
    """Return USD; infinite where the price is unknown, so that every sum tells."""
    price = prices.find(used.model)
    if price is None:
        return math.inf
    return (used.prompt * price.prompt + used.completion * price.completion) / 1e6


def spent(used: Sequence[Usage], prices: Prices) -> Spent:
    """Return what calls use together."""
    cost = sum(_cost(one, prices) for one in used)
    tokens = math.ceil(sum(one.prompt + one.completion for one in used))
    return Spent(len(used), tokens, cost if math.isfinite(cost) else None)


@dataclass(frozen=True, kw_only=True)
class Projection:
    """Ranges for a run, from the least and the most that the sample's calls use."""

    low: Usages
    high: Usages
    sampled: Sequence[int]
    """Lengths of the sample's raw code, in characters."""
    lengths: Sequence[int]
    """Those of all functions, in coreset order."""
    rows: Range
    """Functions that will be tried, from the first on."""
    prices: Prices

    def calls(self) -> Range:
        """Return the range of all calls."""
        return self._in_all(lambda used: 1.0)

    def models(self, names: Sequence[str]) -> tuple[ModelEstimate, ...]:
        """Return the ranges of each model."""
        return tuple(self._model(name) for name in names)

    def cost(self) -> Range | None:
        """Return the range in USD, or None where a price is unknown."""
        return self._known(self._in_all(self._cost))

    def cost_per_accepted(self, acceptance: Range) -> Range | None:
        """Return the range in USD; None where a price is unknown, or perhaps none is accepted."""
        one = self._a_function(self._cost)
        if not acceptance.low:
            return None
        return self._known(Range(one.low / acceptance.high, one.high / acceptance.low))

    def _cost(self, used: Usage) -> float:
        return _cost(used, self.prices)

    def _known(self, cost: Range) -> Range | None:
        return cost if math.isfinite(cost.high) else None

    def _model(self, name: str) -> ModelEstimate:
        def mine(value: Callable[[Usage], float]) -> Range:
            return self._in_all(lambda used: value(used) if used.model == name else 0.0)

        price = self.prices.find(name)
        return ModelEstimate(
            model=name,
            price=price,
            calls=mine(lambda used: 1.0),
            prompt_tokens=mine(lambda used: used.prompt),
            completion_tokens=mine(lambda used: used.completion),
            cost=None if price is None else mine(self._cost),
        )

    def _in_all(self, value: Callable[[Usage], float]) -> Range:
        return self._a_function(value) * self.rows

    def _a_function(self, value: Callable[[Usage], float]) -> Range:
        """Return the range of the mean over the functions that will be tried."""
        least = [sum(map(value, calls)) for calls in self.low]
        largest = [sum(map(value, calls)) for calls in self.high]
        if not all(map(math.isfinite, largest)):
            return Range(math.inf, math.inf)
        return Range(self._mean(least).low, self._mean(largest).high)

    def _mean(self, values: Sequence[float]) -> Range:
        population = max(math.ceil(self.rows.high), len(values))
        return per_function(
            values,
            self.sampled,
            mean_length=sum(self.lengths[:population]) / population,
            population=population,
        )
