"""Who may send: the limit grows and is cut, pauses end, and everybody gets through in the end."""

import asyncio
import time
from random import Random

import pytest

from wavecoder.errors import StoppedError
from wavecoder.llm.gate import Endpoint, Gate, Pace


def endpoint(**changes: float) -> Endpoint:
    return Endpoint("http://a/v1/x", "http://a/v1", **changes)


def test_the_limit_doubles_with_the_replies_while_it_is_in_use():
    one = endpoint(limit=16.0)
    for _ in range(16):
        one.in_flight = 32
        one.replied(1000)
    assert one.limit == 32.0
    one.in_flight = 5
    one.replied(1000)
    assert one.limit == 32.0  # nobody asked for more than it gave
    one.in_flight = 32
    one.replied(most=33)
    one.replied(most=33)
    assert one.limit == 33


def push_twice(one):
    """One push between two replies is no sign; two are."""
    sent_at = time.monotonic()
    assert not one.push(sent_at)
    return one.push(sent_at)


def test_a_push_now_and_then_cuts_nothing():
    one = endpoint(limit=20.0, in_flight=20)
    for _ in range(100):
        assert not one.push(time.monotonic())
        one.replied(20)
    assert one.limit == 20.0


def test_a_connection_lost_now_and_then_cuts_nothing():
    one = endpoint(limit=20.0, in_flight=20)
    for _ in range(100):
        assert one.fail(time.monotonic())
        for _ in range(20):
            one.in_flight = 20
            one.replied(20)
    assert one.limit == 20.0


def test_after_a_push_it_grows_slowly():
    one = endpoint(limit=20.0, in_flight=20)
    assert push_twice(one)
    assert one.limit == pytest.approx(14.0)
    for _ in range(14):
        one.in_flight = 20
        one.replied(1000)
    assert 14.9 < one.limit < 15.1  # one more for a whole limit's worth
    one = endpoint(limit=200.0, in_flight=200)
    push_twice(one)
    for _ in range(140):
        one.in_flight = 200
        one.replied(1000)
    assert 146 < one.limit < 148.5  # and a twentieth where that is more


def test_one_cut_answers_all_pushes_of_one_flight():
    one = endpoint(limit=100.0, in_flight=100)
    sent_at = time.monotonic()
    assert [one.push(sent_at) for _ in range(50)] == [False, True] + [False] * 48
    assert (one.limit, one.pushes) == (pytest.approx(70.0), 1)
    for _ in range(100):
        one.push(time.monotonic())
    assert (one.limit, one.pushes) == (1.0, 101)
    one.replied(64)
    assert one.pushes == 0


def test_silence_leaves_one_request_and_a_reply_brings_back_most_of_the_limit():
    one = endpoint(limit=64.0, in_flight=64)
    one.replied(64)
    sent_at = time.monotonic()
    assert [one.fail(sent_at) for _ in range(64)] == [True] + [False] * 63
    assert (one.limit, one.failures) == (64.0, 1)
    assert one.fail(time.monotonic())
    assert (one.limit, one.failures) == (1.0, 2)
    for _ in range(44):  # one more each, up to 0.7 of 64
        one.in_flight = 64
        one.replied(64)
    assert 44.0 <= one.limit <= 46.0


def test_what_hangs_from_before_the_silence_does_not_keep_an_endpoint_from_being_asked():
    async def main() -> None:
        gate = Gate([one := endpoint(limit=4.0)], 8)
        sent_at = time.monotonic()
        for _ in range(4):
            await gate.enter()
        one.fail(sent_at)
        one.fail(time.monotonic())
        gate.leave(one)
        probe = await asyncio.wait_for(gate.enter(), timeout=30)
        assert (probe.in_flight, probe.busy) == (4, 1)
        waiting = asyncio.create_task(gate.enter())
        await asyncio.sleep(0)
        assert not waiting.done()  # one at a time
        one.replied(8)
        gate.leave(probe)
        for _ in range(3):
            gate.leave(one)
        gate.leave(await waiting)
        assert (one.in_flight, one.busy) == (0, 0)

    asyncio.run(main())


def test_pauses_do_not_shorten_each_other():
    one = endpoint()
    assert not one.paused
    one.pause(3600)
    until = one.paused_until
    one.pause(1)
    assert one.paused_until == until and one.paused


def test_the_pace_spreads_requests_and_tokens():
    pace = Pace(requests=60, tokens=600)
    began = time.monotonic()
    assert pace.next_at <= began
    for _ in range(10):
        pace.take(10)
    # A tenth of a second may be caught up with; it is not saved up beyond that.
    assert 9.9 <= pace.next_at - began <= 9.9 + time.monotonic() - began
    pace.correct(100)  # ten seconds' worth of tokens
    assert 19.9 <= pace.next_at - began <= 19.9 + time.monotonic() - began
    pace.correct(-150)
    assert 9.9 <= pace.next_at - began <= 9.9 + time.monotonic() - began
    free = Pace()
    free.take(1e12)
    assert free.next_at <= time.monotonic()


def test_who_comes_later_does_not_overtake_who_waits():
    async def main() -> list[int]:
        gate, order = Gate([endpoint(limit=1.0)], 8), []

        async def work(number: int) -> None:
            held = await gate.enter()
            order.append(number)
            gate.leave(held)

        held = await gate.enter()
        first = [asyncio.create_task(work(number)) for number in range(5)]
        await asyncio.sleep(0)
        gate.leave(held)  # the place is given to 0 here, before the next ones ask for it
        last = [asyncio.create_task(work(number)) for number in range(5, 8)]
        await asyncio.gather(*first, *last)
        return order

    assert asyncio.run(main()) == list(range(8))


def test_the_pause_that_ends_first_lets_somebody_in():
    async def main() -> str:
        long, short = endpoint(limit=1.0), Endpoint("http://b/v1/x", "http://b/v1", limit=1.0)
        gate = Gate([long, short], 8)
        one, other = await gate.enter(), await gate.enter()
        assert {one.address, other.address} == {"http://a/v1", "http://b/v1"}
        long.pause(3600)
        gate.leave(long)
        waiting = asyncio.create_task(gate.enter())
        await asyncio.sleep(0)  # an alarm for the end of the long pause would be set now
        short.pause(0.01)
        gate.leave(short)
        return (await asyncio.wait_for(waiting, timeout=30)).address

    assert asyncio.run(main()) == "http://b/v1"


def test_an_endpoint_that_is_shut_gets_nothing_and_the_pace_holds_for_all():
    async def main() -> float:
        shut = endpoint(shut=True)
        gate = Gate([shut, Endpoint("http://b/v1/x", "http://b/v1")], 64)
        gate.pace = Pace(requests=6_000)
        assert gate.limit == 32
        began = time.monotonic()
        held = await asyncio.gather(*(gate.enter() for _ in range(32)))
        assert {one.address for one in held} == {"http://b/v1"}
        assert (shut.in_flight, held[0].in_flight) == (0, 32)
        return time.monotonic() - began

    assert asyncio.run(main()) >= 15 * 0.01 - 0.1


def test_stop_lets_nobody_in_until_it_is_opened_again():
    async def main() -> None:
        gate = Gate([endpoint(limit=1.0)], 8)
        held = await gate.enter()
        waiting = [asyncio.create_task(gate.enter()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[1].cancel()
        gate.stop()
        ends = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(end) for end in ends] == [StoppedError, asyncio.CancelledError, StoppedError]
        with pytest.raises(StoppedError):
            await gate.enter()
        gate.leave(held)
        gate.reopen()
        gate.leave(await gate.enter())
        assert held.in_flight == 0

    asyncio.run(main())


class Watched(Gate):
    """Checks each place at the moment it is given and given back."""

    def _take(self, endpoint: Endpoint, tokens: float) -> Endpoint:
        assert not endpoint.paused and self.pace.next_at <= time.monotonic()
        taken = super()._take(endpoint, tokens)
        assert 1 <= taken.busy <= taken.limit
        return taken

    def leave(self, endpoint: Endpoint) -> None:
        assert endpoint.in_flight >= 1
        super().leave(endpoint)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_everybody_gets_through_and_no_limit_is_passed(seed: int):
    """Requests enter, leave, are cancelled, push, fail and pause in any order."""
    random = Random(seed)
    endpoints = [
        Endpoint(f"http://{name}/v1/x", name, limit=random.choice([1.0, 2.5, 16.0]))
        for name in "abc"[: random.randint(1, 3)]
    ]
    gate = Watched(endpoints, most := random.choice([1, 3, 20]))
    gate.pace = Pace(requests=random.choice([None, 600_000]), tokens=random.choice([None, 1e6]))
    inside: list[Endpoint] = []
    through = 0

    async def request() -> None:
        nonlocal through
        held = await gate.enter(random.choice([0.0, 5.0]))
        inside.append(held)
        try:
            # Some were given a place and have not run since.
            assert sum(one is held for one in inside) <= held.in_flight
            assert len(inside) <= sum(one.in_flight for one in endpoints) <= most
            sent_at = time.monotonic()
            for _ in range(random.randint(0, 4)):
                await asyncio.sleep(random.choice([0.0, 0.0, 0.0005]))
            chance = random.random()
            if chance < 0.2:
                held.push(sent_at)
            elif chance < 0.3:
                held.fail(sent_at)
                held.pause(random.uniform(0.0, 0.003))
            elif chance < 0.4:
                held.pause(random.uniform(0.0, 0.003))
            else:
                held.replied(most)
        finally:
            inside.remove(held)
            gate.leave(held)
        through += 1

    async def main() -> int:
        tasks: list[asyncio.Task[None]] = []
        for _ in range(120):
            tasks.append(asyncio.create_task(request()))
            if random.random() < 0.3:
                await asyncio.sleep(0)
            if random.random() < 0.3:
                random.choice(tasks).cancel()
            assert sum(one.in_flight for one in endpoints) <= most
        ends = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), timeout=30)
        assert {type(end) for end in ends} <= {type(None), asyncio.CancelledError}
        return sum(end is None for end in ends)

    assert asyncio.run(main()) == through > 0
    assert all(one.in_flight == 0 for one in endpoints)
