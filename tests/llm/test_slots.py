import asyncio
from random import Random

import pytest

from wavecoder.errors import StoppedError
from wavecoder.llm import Slots


def test_never_more_than_the_number_and_the_earliest_first():
    order: list[int] = []
    most = 0

    async def main() -> None:
        slots, inside = Slots(lambda: 2), 0

        async def work(place: int) -> None:
            nonlocal inside, most
            async with slots.hold(place):
                inside += 1
                most = max(most, inside)
                order.append(place)
                await asyncio.sleep(0.001)
                inside -= 1

        await asyncio.gather(*(work(place) for place in (9, 8, 3, 7, 1, 5)))

    asyncio.run(main())
    assert most == 2
    assert order == [9, 8, 1, 3, 5, 7]  # two were free at once, the rest by place


def test_one_that_gives_up_takes_no_slot_with_it():
    async def main() -> bool:
        slots = Slots(lambda: 1)

        async def work(seconds: float) -> None:
            async with slots.hold(0):
                await asyncio.sleep(seconds)

        first = asyncio.create_task(work(0.01))
        second = asyncio.create_task(work(0.01))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        await asyncio.wait_for(work(0), timeout=5)
        return second.cancelled()

    assert asyncio.run(main())


def test_more_slots_are_seen_by_the_next_who_asks():
    async def main() -> None:
        most = 1
        slots, order = Slots(lambda: most), []
        leave = asyncio.Event()

        async def work(place: int) -> None:
            async with slots.hold(place):
                order.append(place)
                await leave.wait()

        tasks = [asyncio.create_task(work(place)) for place in (1, 9, 5)]
        await asyncio.sleep(0)
        assert order == [1]
        most = 3  # nobody releases a slot now
        tasks.append(asyncio.create_task(work(7)))
        for _ in range(3):
            await asyncio.sleep(0)
        assert (set(order), slots.held) == ({1, 5, 7}, 3)
        leave.set()
        await asyncio.gather(*tasks)
        assert (order[3:], slots.held) == ([9], 0)

    asyncio.run(main())


def test_stop_sends_away_who_waits_and_who_comes_later_but_nobody_who_holds():
    async def main() -> None:
        slots = Slots(lambda: 1)

        async def work() -> str:
            async with slots.hold(0):
                await asyncio.sleep(0)
                return "done"

        tasks = [asyncio.create_task(work()) for _ in range(4)]
        await asyncio.sleep(0)
        tasks[2].cancel()
        slots.stop()
        tasks.append(asyncio.create_task(work()))
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        stopped = [StoppedError, asyncio.CancelledError, StoppedError, StoppedError]
        assert [type(end) for end in ends] == [str, stopped[0], *stopped[1:]]
        assert slots.held == 0

    asyncio.run(main())


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_everybody_gets_a_slot(seed: int):
    random = Random(seed)
    most, held, through = 3, 0, 0
    slots = Slots(lambda: most)

    async def work(place: int) -> None:
        nonlocal most, held, through
        async with slots.hold(place):
            held += 1
            try:
                assert held <= slots.held
                for _ in range(random.randint(0, 3)):
                    await asyncio.sleep(0)
                most = random.randint(1, 6)
            finally:
                held -= 1
        through += 1

    async def main() -> int:
        tasks = []
        for _ in range(100):
            tasks.append(asyncio.create_task(work(random.randint(0, 50))))
            if random.random() < 0.5:
                await asyncio.sleep(0)
            if random.random() < 0.3:
                random.choice(tasks).cancel()
            assert 0 <= slots.held <= 6
        ends = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), timeout=30)
        assert {type(end) for end in ends} <= {type(None), asyncio.CancelledError}
        return sum(end is None for end in ends)

    assert asyncio.run(main()) == through > 0
    assert slots.held == 0
