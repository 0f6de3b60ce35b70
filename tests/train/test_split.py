from collections import Counter
from math import floor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavecoder.errors import ConfigError
from wavecoder.records import Message
from wavecoder.train.config import Variant
from wavecoder.train.conversations import Conversation
from wavecoder.train.split import hold_out, uses

TURNS = (Message(role="user", content="a"), Message(role="assistant", content="b"))


def one(id: str, task: str = "repair", group: str | None = None, source: str = "generate") -> Any:
    return Conversation(id, source, task, group or id, TURNS, None)


def many(count: int, task: str = "repair", **more: Any) -> list[Conversation]:
    return [one(f"{task}{number}", task, **more) for number in range(count)]


GROUPS = st.lists(st.integers(0, 12), min_size=1, max_size=60).map(
    lambda groups: [one(f"i{place}", group=f"g{group}") for place, group in enumerate(groups)]
)


@given(GROUPS, st.floats(0, 0.99), st.integers(0, 3), st.randoms())
def test_held_out_are_whole_groups_and_never_all(
    talks: list[Conversation], fraction: float, seed: int, random: Any
) -> None:
    held = hold_out(talks, fraction, seed=seed)
    sides = {(talk.group, talk.id in held) for talk in talks}
    groups = {talk.group for talk in talks}
    assert len(sides) == len(groups)
    assert len(held) < len(talks)
    assert bool(held) == (fraction > 0 and len(groups) > 1)
    left = len({talk.group for talk in talks if talk.id not in held})
    assert len(held) >= fraction * len(talks) or left == 1
    random.shuffle(talks)
    assert hold_out(talks, fraction, seed=seed) == held


def test_no_more_is_held_out_than_the_share() -> None:
    talks = many(1000)
    assert len(hold_out(talks, 0.05, seed=0)) == 50
    assert hold_out(talks, 0, seed=0) == frozenset()
    assert hold_out(talks, 0.05, seed=0) != hold_out(talks, 0.05, seed=1)


def test_what_is_held_out_stays_so_when_rows_are_added() -> None:
    talks, more = many(1000), many(200, "other")
    before, after = hold_out(talks, 0.05, seed=3), hold_out([*talks, *more], 0.05, seed=3)
    # The order of the old ones is theirs alone: of two lists one begins the other.
    old = after - {talk.id for talk in more}
    assert old <= before or before <= old
    assert len(old & before) > 40


def test_a_weight_is_a_number_of_uses() -> None:
    talks = [*many(10), *many(10, "generation"), *many(10, "other", source="d.json")]
    found = uses(
        talks,
        {"tuned": Variant(weights={"repair": 2.3}), "less": Variant(weights={"generation": 0})},
        {"d.json": 0.5},
        seed=0,
    )
    assert Counter(found["tuned"][:10]) == {2: 7, 3: 3}
    assert found["tuned"][10:20] == (1,) * 10
    assert Counter(found["tuned"][20:]) == {0: 5, 1: 5}
    assert found["less"][:20] == (1,) * 10 + (0,) * 10
    assert found["less"][20:] == found["tuned"][20:]


def test_rows_of_a_dataset_can_be_weighed_as_a_task_too() -> None:
    talks = [*many(4), *many(4, "other", source="d.json")]
    variants = {"alone": Variant(weights={"other": 0}), "both": Variant()}
    found = uses(talks, variants, {"d.json": 2}, seed=0)
    assert found == {"alone": (1,) * 4 + (0,) * 4, "both": (1,) * 4 + (2,) * 4}


WEIGHTS = st.floats(0, 4).map(lambda weight: round(weight, 2))


@given(st.integers(1, 40), WEIGHTS, WEIGHTS, st.integers(0, 3), st.randoms())
def test_more_weight_keeps_what_less_drew(
    count: int, one_weight: float, other: float, seed: int, random: Any
) -> None:
    talks = [*many(count), *many(1, "generation")]
    less, more = sorted((one_weight, other))
    variants = {
        "less": Variant(weights={"repair": less}),
        "more": Variant(weights={"repair": more}),
    }
    found = uses(talks, variants, {}, seed=seed)
    assert all(a <= b for a, b in zip(found["less"], found["more"], strict=True))
    repairs = found["less"][:count]
    assert max(repairs) - min(repairs) <= 1
    assert abs(sum(repairs) - less * count) <= 0.5 + 1e-6
    assert min(repairs) >= floor(less)
    order = list(range(len(talks)))
    random.shuffle(order)
    shuffled = uses([talks[place] for place in order], variants, {}, seed=seed)
    assert shuffled["less"] == tuple(found["less"][place] for place in order)


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=4),
    st.lists(WEIGHTS.filter(bool), min_size=4, max_size=4),
    st.integers(1, 200),
)
@settings(max_examples=200)
def test_a_size_keeps_each_tasks_share(counts: list[int], weights: list[float], size: int) -> None:
    talks = [talk for task, count in enumerate(counts) for talk in many(count, f"t{task}")]
    table = {f"t{task}": max(1.0, weight) for task, weight in enumerate(weights[: len(counts)])}
    found = uses(
        talks,
        {"all": Variant(weights=table), "some": Variant(weights=table, size=size)},
        {},
        seed=0,
    )
    total = sum(found["all"])
    assert sum(found["some"]) == min(size, total)
    assert all(a <= b for a, b in zip(found["some"], found["all"], strict=True))
    for task in table:
        mine = [place for place, talk in enumerate(talks) if talk.task == task]
        wanted = sum(found["all"][place] for place in mine) * min(1, size / total)
        drawn = [found["some"][place] for place in mine]
        assert abs(sum(drawn) - wanted) < 1
        assert max(drawn) - min(drawn) <= 1


def test_smallest_is_that_of_the_variant_with_the_fewest() -> None:
    talks = [*many(10), *many(20, "generation"), *many(30, "translation")]
    names = ("repair", "generation", "translation")
    variants = {"all": Variant(size="smallest")} | {
        f"no {name}": Variant(weights={name: 0}, size="smallest") for name in names
    }
    found = uses(talks, variants, {}, seed=0)
    assert {name: sum(counts) for name, counts in found.items()} == dict.fromkeys(variants, 30)
    by_task = [sum(found["all"][a:b]) for a, b in ((0, 10), (10, 30), (30, 60))]
    assert by_task == [5, 10, 15]
    capped = uses(talks, variants | {"few": Variant(size=7)}, {}, seed=0)
    assert {sum(counts) for counts in capped.values()} == {7}


def test_a_task_that_is_held_out_or_that_nobody_made_may_have_no_weight() -> None:
    talks = [*many(4), one("alone", "translation")]
    weights = {"translation": 3, "summarization": 0}
    found = uses(talks, {"tuned": Variant(weights=weights)}, {}, seed=0, apart={"alone", "repair0"})
    assert found == {"tuned": (0, 1, 1, 1, 0)}
    with pytest.raises(ConfigError, match=r"'summarization', which no dialogue has\. Take it out"):
        uses(talks, {"tuned": Variant(weights={"summarization": 1})}, {}, seed=0)
    with pytest.raises(ConfigError, match=r"Did you mean 'summarization'\?"):
        uses(talks, {"tuned": Variant(weights={"sumarization": 0})}, {}, seed=0)


def test_what_cannot_be_drawn_is_said() -> None:
    talks = [*many(3), *many(3, "generation")]
    with pytest.raises(ConfigError, match=r"tuned weighs the task 'repairs', .*mean 'repair'\?"):
        uses(talks, {"tuned": Variant(weights={"repairs": 1})}, {}, seed=0)
    nothing = Variant(weights={"repair": 0, "generation": 0.1})
    with pytest.raises(ConfigError, match="variant none is left with no dialogue"):
        uses(talks, {"none": nothing}, {}, seed=0)
