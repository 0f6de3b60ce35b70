import asyncio
from collections import deque
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavecoder.errors import BudgetError, ConfigError
from wavecoder.llm.budget import Budget, most_prompt_tokens
from wavecoder.llm.prices import Price, Prices

EMPTY = most_prompt_tokens(0)  # the tokens of a prompt of no characters
PRICES = Prices({"cheap": Price(prompt=1, completion=1), "dear": Price(prompt=10, completion=30)})


async def settled_down() -> None:
    """Let every task that can go on do so."""
    for _ in range(4):
        await asyncio.sleep(0)


def ask(budget, tokens, model="cheap"):
    """Start asking for the admission of a request of `tokens` tokens at most."""
    return asyncio.ensure_future(
        budget.admit(model, prompt_characters=0, max_tokens=tokens - EMPTY)
    )


def state(task):
    if not task.done():
        return "waiting"
    if task.cancelled():
        return "cancelled"
    return "refused" if task.exception() else "admitted"


class Plain:
    """What a budget is to do, written down plainly: lists, and every rule looked at every time."""

    def __init__(self, cap):
        self.cap, self.spent = cap, 0
        self.requests = []  # [size, state] in the order of asking
        self.open = []  # indices in flight, oldest first
        self.queue = deque()

    def ask(self, size):
        self.requests.append([size, "waiting"])
        self.queue.append(len(self.requests) - 1)
        self.move()

    def finish(self, index, used):
        self.open.remove(index)
        self.spent += used
        self.move()

    def cancel(self, index):
        self.queue.remove(index)
        self.requests[index][1] = "cancelled"
        self.move()

    def reserved(self):
        return sum(self.requests[index][0] for index in self.open)

    def move(self):
        while self.queue:
            index = self.queue[0]
            if self.spent + self.reserved() + self.requests[index][0] <= self.cap:
                self.requests[index][1] = "admitted"
                self.open.append(index)
            elif not self.open:
                self.requests[index][1] = "refused"
            else:
                return
            self.queue.popleft()


async def play(cap, steps, budget, unit, model):
    """Do `steps` to the budget and to the plain one, and compare them after each.

    A size of n is n * `unit` tokens. A step that means nothing at that moment does nothing.
    """
    plain, tasks = Plain(cap), []
    for what, number, share in steps:
        if what == "ask":
            tasks.append(ask(budget, number * unit, model))
            plain.ask(number)
        elif what in ("settle", "silent", "release") and plain.open:
            index = plain.open[number % len(plain.open)]
            size = plain.requests[index][0]
            used = {"settle": min(share, size), "silent": size, "release": 0}[what]
            admission = tasks[index].result()
            if what == "settle":
                admission.settle(0, used * unit)
            elif what == "silent":
                admission.settle(None, used * unit)
            else:
                admission.release()
            admission.release()  # a second end is none
            admission.settle(unit, unit)
            plain.finish(index, used)
        elif what == "cancel" and plain.queue:
            index = plain.queue[number % len(plain.queue)]
            tasks[index].cancel()
            plain.cancel(index)
        await settled_down()
        assert [state(task) for task in tasks] == [now for _, now in plain.requests]
        assert budget.spent.tokens == plain.spent * unit
        assert plain.spent + plain.reserved() <= cap
    while plain.open:  # no one is left waiting when everything in flight has ended
        index = plain.open[0]
        tasks[index].result().settle(plain.requests[index][0] * unit, 0)
        plain.finish(index, plain.requests[index][0])
        await settled_down()
    assert [state(task) for task in tasks] == [now for _, now in plain.requests]
    assert "waiting" not in [state(task) for task in tasks]
    assert budget.spent.tokens == plain.spent * unit <= cap * unit


def token_budget(cap):
    return Budget(prices=PRICES, max_tokens=cap * EMPTY)


def money_budget(cap):
    # 64 tokens at 10 USD a million: 0.00064 USD, no whole number of anything in binary
    return Budget(prices=PRICES, max_cost=cap * EMPTY * 1e-6)


def test_every_short_interleaving_does_what_the_plain_budget_does():
    kinds = [
        ("ask", 1, 0),
        ("ask", 2, 0),
        ("ask", 4, 0),  # never fits
        ("settle", 0, 1),
        ("silent", 1, 0),
        ("release", 0, 0),
        ("cancel", 0, 0),
    ]

    async def main():
        for steps in product(kinds, repeat=5):
            if steps[0][0] == "ask":
                await play(3, steps, token_budget(3), EMPTY, "cheap")

    asyncio.run(main())


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "ask", "settle", "silent", "release", "cancel"]),
        st.integers(1, 9),
        st.integers(0, 9),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(cap=st.integers(0, 40), steps=STEPS, make=st.sampled_from([token_budget, money_budget]))
def test_long_interleavings_do_what_the_plain_budget_does(cap, steps, make):
    asyncio.run(play(cap, steps, make(cap), EMPTY, "cheap"))


def test_many_workers_at_once_spend_up_to_the_cap_and_never_past_it():
    cap, size, used = 100 * EMPTY, 10 * EMPTY, 3 * EMPTY
    most = 0

    async def main():
        nonlocal most
        budget, in_flight = Budget(prices=PRICES, max_tokens=cap), 0

        async def work():
            nonlocal most, in_flight
            admission = await budget.admit("cheap", prompt_characters=0, max_tokens=size - EMPTY)
            in_flight += 1
            most = max(most, budget.spent.tokens + in_flight * size)
            await asyncio.sleep(0)
            in_flight -= 1
            admission.settle(used, 0)

        results = await asyncio.wait_for(
            asyncio.gather(*(work() for _ in range(60)), return_exceptions=True), timeout=30
        )
        return budget.spent.tokens, results

    spent, results = asyncio.run(main())
    assert most <= cap
    assert cap - size < spent <= cap  # all that fits was spent
    assert results.count(None) == spent // used
    assert all(isinstance(one, BudgetError) for one in results if one is not None)


def test_a_request_that_meets_the_cap_fits_and_one_token_more_does_not():
    async def main():
        (await ask(Budget(prices=PRICES, max_tokens=1_000), 1_000)).settle(600, 400)
        with pytest.raises(BudgetError):
            await ask(Budget(prices=PRICES, max_tokens=1_000), 1_001)

    asyncio.run(main())


def test_a_prompt_of_digits_alone_is_covered():
    # Qwen2.5 has one token for each digit and each comma.
    table = "1,2,3," * 500
    assert most_prompt_tokens(len(table)) > len(table)


def test_money_is_counted_exactly():
    async def main():
        # 0.1 + 0.2 > 0.3 in floats; three requests of 0.1 USD fit under 0.3 USD.
        budget = Budget(prices=PRICES, max_cost=0.3)
        for _ in range(3):
            admission = await budget.admit("cheap", prompt_characters=0, max_tokens=100_000 - EMPTY)
            admission.settle(100_000, 0)
        assert budget.spent == (0.3, 300_000)
        with pytest.raises(BudgetError):
            await budget.admit("cheap", prompt_characters=0, max_tokens=1)

    asyncio.run(main())


def test_prompts_and_completions_have_their_own_prices_and_models_share_the_cap():
    async def main():
        budget = Budget(prices=PRICES, max_cost=1)
        budget.begin("cheap", 100_000, 100_000)
        budget.begin("dear", 20_000, 10_000)
        assert budget.spent == (pytest.approx(0.7), 230_000)
        admission = await budget.admit("dear", prompt_characters=0, max_tokens=9_000)  # 0.27
        refused = ask(budget, 100_000)  # 0.1
        await settled_down()
        assert not refused.done()
        admission.release()
        assert (await refused).reserved.tokens == 100_000

    asyncio.run(main())


def test_a_refusal_waits_for_the_replies_that_are_paid_for():
    async def main():
        budget = token_budget(3)
        first, never = ask(budget, 2 * EMPTY), ask(budget, 9 * EMPTY)
        await settled_down()
        assert state(never) == "waiting"
        first.result().settle(0, EMPTY)
        with pytest.raises(BudgetError):
            await never

    asyncio.run(main())


def test_one_cancelled_as_it_is_admitted_leaves_nothing_reserved():
    async def main():
        budget = token_budget(3)
        first, second = ask(budget, 3 * EMPTY), ask(budget, 3 * EMPTY)
        await settled_down()
        first.result().release()  # admits the second, whose task has not gone on yet
        second.cancel()
        await settled_down()
        assert second.cancelled()
        admission = await asyncio.wait_for(ask(budget, 3 * EMPTY), timeout=30)
        assert admission.reserved.tokens == 3 * EMPTY

    asyncio.run(main())


def test_one_cancelled_as_it_is_refused_is_cancelled():
    async def main():
        budget = token_budget(3)
        first, second = ask(budget, 3 * EMPTY), ask(budget, 4 * EMPTY)
        await settled_down()
        first.result().release()
        second.cancel()
        await settled_down()
        assert second.cancelled()
        assert (await ask(budget, 3 * EMPTY)).reserved.tokens == 3 * EMPTY

    asyncio.run(main())


def test_without_a_cap_no_one_waits_and_all_is_counted():
    async def main():
        budget = Budget(prices=PRICES)
        admissions = [await ask(budget, 10**9) for _ in range(100)]
        for admission in admissions:
            admission.settle(1_000_000, 500_000)
        assert budget.spent == (150.0, 150_000_000)

    asyncio.run(main())


def test_a_reply_that_took_more_than_its_reservation_is_counted_in_full():
    async def main():
        budget = token_budget(2)
        (await ask(budget, 2 * EMPTY)).settle(5 * EMPTY, 0)
        assert budget.spent.tokens == 5 * EMPTY
        with pytest.raises(BudgetError):
            await ask(budget, EMPTY)

    asyncio.run(main())


def test_a_cap_of_nothing_admits_what_costs_nothing():
    async def main():
        prices = Prices({"ours": Price(prompt=0, completion=0)})
        budget = Budget(prices=prices, max_cost=0)
        (await ask(budget, 10**6, "ours")).settle(10, 10)
        assert budget.spent == (0, 20)

    asyncio.run(main())


def test_an_unknown_price_makes_the_cost_unknown_once_tokens_were_used():
    async def main():
        budget = Budget(prices=PRICES, max_tokens=10**6)
        budget.check("nobody-knows")
        budget.begin("nobody-knows", 0, 0)
        budget.begin("cheap", 1_000, 0)
        assert budget.spent == (pytest.approx(0.001), 1_000)
        (await ask(budget, 1_000, "nobody-knows")).settle(10, 10)
        assert budget.spent == (None, 1_020)
        with pytest.raises(BudgetError, match=r"^Spent 1,020 tokens; "):
            await ask(budget, 10**6)

    asyncio.run(main())


def test_a_cap_on_cost_needs_the_price():
    async def main():
        budget = Budget(prices=PRICES, max_cost=1)
        budget.check("cheap")
        said = "--max-cost needs the price of nobody-knows, which is unknown; give it in a file"
        with pytest.raises(ConfigError, match=said):
            budget.check("nobody-knows")
        with pytest.raises(ConfigError, match=said):
            budget.begin("nobody-knows", 0, 0)
        with pytest.raises(ConfigError, match=said):
            await ask(budget, 100, "nobody-knows")

    asyncio.run(main())


@pytest.mark.parametrize("caps", [{"max_cost": -0.01}, {"max_cost": float("nan")}])
def test_a_cap_that_is_no_amount_is_refused(caps):
    with pytest.raises(ConfigError, match=r"--max-cost is .*Give 0 or more"):
        Budget(prices=PRICES, **caps)


def test_a_negative_cap_on_tokens_is_refused():
    with pytest.raises(ConfigError, match="--max-tokens is -1"):
        Budget(prices=PRICES, max_tokens=-1)


def test_the_message_says_what_was_spent_the_cap_and_how_to_go_on():
    async def main():
        budget = Budget(prices=PRICES, max_cost=2, max_tokens=10**9)
        budget.begin("cheap", 1_234_567, 0)
        with pytest.raises(BudgetError) as money:
            await ask(budget, 800_000)
        assert str(money.value) == (
            "Spent 1,234,567 tokens ($1.2346); the next request can take up to $0.8000, which "
            "would pass --max-cost 2: raise --max-cost and give the same command again, it goes "
            "on from here."
        )
        assert money.value.exit_code == 3
        with pytest.raises(BudgetError, match=r"up to 1,000 tokens.*pass --max-tokens 100: raise"):
            await ask(Budget(prices=PRICES, max_tokens=100), 1_000)

    asyncio.run(main())
