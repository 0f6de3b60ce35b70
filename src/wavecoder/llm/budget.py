"""At most so much money and so many tokens: hard stops that leave a run to be resumed.

```python
budget = Budget(prices=Prices.load(), max_cost=5.0)
budget.begin("gpt-4o-mini", 120_000, 40_000)  # what the ledger says was spent before
admission = await budget.admit("gpt-4o-mini", prompt_characters=6000, max_tokens=2048)
try:
    reply = await model.complete(request)
    admission.settle(reply.prompt_tokens, reply.completion_tokens)
finally:
    admission.release()  # nothing, if it was settled
```

A request is admitted only if it fits at its worst, all requests in flight at theirs. So a cap is
never passed, at the price of a little that stays unspent.
"""

import asyncio
import math
from collections import deque
from typing import NamedTuple

from wavecoder.errors import BudgetError, ConfigError
from wavecoder.llm.prices import Prices

__all__ = ["Admission", "Budget", "Spent", "most_prompt_tokens"]

# Tokens that a chat template writes around the messages: the default system prompt and the markers
# of a few turns (Qwen2.5 writes 20 and 5 a turn).
_TEMPLATE_TOKENS = 64
# Sums of floats drift, and a cap is a sharp line: money is counted in whole millionths of a
# millionth of a USD, in which a price per million tokens of six decimals is a whole number a token.
_UNITS = 10**12


def most_prompt_tokens(characters: int) -> int:
    """Return how many tokens a prompt of so many characters has at most.

    One a character. With the tokenizer of Qwen2.5-Coder, 13,450 functions of the Python library
    had 0.22 tokens a character in the median, 0.40 at the 99.9th percentile and 0.55 at most, but a
    table of digits has 1.0; more than that takes letters outside of all common scripts.
    """
    return characters + _TEMPLATE_TOKENS


class Spent(NamedTuple):
    """What was spent so far, before this process and in it."""

    cost: float | None
    """USD; None if some of the tokens have no known price."""
    tokens: int
    """Prompt and completion together."""


class _Amount(NamedTuple):
    """Tokens and their cost in units; sums and comparisons are exact."""

    tokens: int
    units: int

    def plus(self, other: "_Amount") -> "_Amount":
        return _Amount(self.tokens + other.tokens, self.units + other.units)

    def less(self, other: "_Amount") -> "_Amount":
        return _Amount(self.tokens - other.tokens, self.units - other.units)


_NOTHING = _Amount(0, 0)


class Admission:
    """The leave to send one request; settle it with the reply's usage, or release it unspent."""

    __slots__ = ("_budget", "_model", "_open", "reserved")

    def __init__(self, budget: "Budget", model: str, reserved: _Amount) -> None:
        self._budget = budget
        self._model = model
        self._open = True
        self.reserved = reserved

    def settle(self, prompt_tokens: int | None, completion_tokens: int | None) -> None:
        """Count what the reply used; where the endpoint does not say, all that was reserved.

        Nothing happens if it was settled or released before.
        """
        if self._open:
            self._open = False
            used = self.reserved
            if prompt_tokens is not None and completion_tokens is not None:
                used = self._budget._amount(self._model, prompt_tokens, completion_tokens)
            self._budget._finish(self, self._model, used)

    def release(self) -> None:
        """Give the reservation back: the request was not sent, or its failure costs nothing.

        Nothing happens if it was settled or released before.
        """
        if self._open:
            self._open = False
            self._budget._finish(self, self._model, _NOTHING)


class _Waiter(NamedTuple):
    model: str
    needed: _Amount
    turn: "asyncio.Future[Admission]"


class Budget:
    """At most so much money and so many tokens; one for a run, shared by both models.

    To be used in one event loop. Who waits is served first come, first served: a large request is
    not starved by small ones.
    """

    def __init__(
        self, *, prices: Prices, max_cost: float | None = None, max_tokens: int | None = None
    ) -> None:
        """Begin with nothing spent.

        Args:
            prices: What tokens cost.
            max_cost: USD, or None for no cap.
            max_tokens: Prompt and completion tokens together, or None for no cap.

        Raises:
            ConfigError: A cap is negative or no number.
        """
        for option, most in (("--max-cost", max_cost), ("--max-tokens", max_tokens)):
            if most is not None and not (math.isfinite(most) and most >= 0):
                raise ConfigError(f"{option} is {most}. Give 0 or more, or leave it out.")
        self._prices = prices
        self._max_cost = max_cost
        self._max_tokens = max_tokens
        self._max_units = None if max_cost is None else round(max_cost * _UNITS)
        self._rates: dict[str, tuple[int, int] | None] = {}
        self._unpriced = False
        self._spent = _NOTHING
        self._reserved = _NOTHING
        self._in_flight = 0
        self._waiting: deque[_Waiter] = deque()

    @property
    def spent(self) -> Spent:
        """What was spent so far, requests in flight not counted."""
        cost = None if self._unpriced else self._spent.units / _UNITS
        return Spent(cost, self._spent.tokens)

    def check(self, model: str) -> None:
        """Make sure that what `model` costs is known, if there is a cap on it.

        Raises:
            ConfigError: There is one, and the price is not known.
        """
        if self._max_cost is not None and self._rate(model) is None:
            raise ConfigError(
                f"--max-cost needs the price of {model}, which is unknown; "
                f"give it in a file with --prices."
            )

    def begin(self, model: str, prompt_tokens: int, completion_tokens: int) -> None:
        """Count what `model` used before this process, as its ledger says; once for each model.

        Raises:
            ConfigError: There is a cap on cost, and the price is not known.
        """
        self.check(model)
        self._spend(model, self._amount(model, prompt_tokens, completion_tokens))

    async def admit(self, model: str, *, prompt_characters: int, max_tokens: int) -> Admission:
        """Reserve what one request can use at most, and wait until that fits under the caps.

        Whoever holds an admission asks for no other before settling it: the two could wait for
        each other.

        Args:
            model: Its name.
            prompt_characters: Of all messages together.
            max_tokens: The most the completion can have.

        Raises:
            BudgetError: The request does not fit any more. It is raised once nothing is in flight,
                so that no reply that is being paid for is lost.
            ConfigError: There is a cap on cost, and the price is not known.
        """
        self.check(model)
        needed = self._amount(model, most_prompt_tokens(prompt_characters), max_tokens)
        if not self._waiting:
            if self._fits(needed):
                return self._reserve(model, needed)
            if not self._in_flight:
                raise self._refusal(needed)
        turn: asyncio.Future[Admission] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiter(model, needed, turn))
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                turn.result().release()  # it was admitted at that moment
            else:
                self._wake()  # it may have stood before one that fits
            raise

    def _rate(self, model: str) -> tuple[int, int] | None:
        """Return the units a prompt token and a completion token cost, or None: unknown."""
        if model not in self._rates:
            price = self._prices.find(model)
            # A millionth of a USD a million tokens is a unit a token.
            scale = _UNITS // 10**6
            self._rates[model] = (
                None
                if price is None
                else (round(price.prompt * scale), round(price.completion * scale))
            )
        return self._rates[model]

    def _amount(self, model: str, prompt_tokens: int, completion_tokens: int) -> _Amount:
        prompt_rate, completion_rate = self._rate(model) or (0, 0)
        return _Amount(
            prompt_tokens + completion_tokens,
            prompt_tokens * prompt_rate + completion_tokens * completion_rate,
        )

    def _fits(self, needed: _Amount) -> bool:
        tokens = self._spent.tokens + self._reserved.tokens + needed.tokens
        units = self._spent.units + self._reserved.units + needed.units
        return (self._max_tokens is None or tokens <= self._max_tokens) and (
            self._max_units is None or units <= self._max_units
        )

    def _reserve(self, model: str, needed: _Amount) -> Admission:
        self._reserved = self._reserved.plus(needed)
        self._in_flight += 1
        return Admission(self, model, needed)

    def _finish(self, admission: Admission, model: str, used: _Amount) -> None:
        self._reserved = self._reserved.less(admission.reserved)
        self._in_flight -= 1
        self._spend(model, used)
        self._wake()

    def _spend(self, model: str, used: _Amount) -> None:
        self._spent = self._spent.plus(used)
        self._unpriced = self._unpriced or (used.tokens > 0 and self._rate(model) is None)

    def _wake(self) -> None:
        """Let in who fits now, from the first on; refuse who never will."""
        while self._waiting:
            model, needed, turn = self._waiting[0]
            if not turn.done():
                if self._fits(needed):
                    turn.set_result(self._reserve(model, needed))
                elif not self._in_flight:
                    turn.set_exception(self._refusal(needed))
                else:
                    return
            self._waiting.popleft()

    def _refusal(self, needed: _Amount) -> BudgetError:
        cost, tokens = self.spent
        spent = f"{tokens:,} tokens" + ("" if cost is None else f" (${cost:.4f})")
        if self._max_tokens is not None and self._spent.tokens + needed.tokens > self._max_tokens:
            most, option = f"{needed.tokens:,} tokens", f"--max-tokens {self._max_tokens}"
        else:
            most, option = f"${needed.units / _UNITS:.4f}", f"--max-cost {self._max_cost}"
        return BudgetError(
            f"Spent {spent}; the next request can take up to {most}, which would pass {option}: "
            f"raise {option.split()[0]} and give the same command again, it goes on from here."
        )
