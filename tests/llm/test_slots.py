import asyncio

from wavecoder.llm import Slots


def test_never_more_than_the_number_and_the_earliest_first():
    order: list[int] = []
    most = 0

    async def main() -> None:
        slots, inside = Slots(2), 0

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
        slots = Slots(1)

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
