"""Which dialogues are held out, and how often an epoch of each variant has the others.

Nothing is drawn by a random generator: what comes first is decided by a digest of the seed and a
name, so that neither the order of the rows nor rows that are added change what is decided of the
others.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from math import floor

from wavecoder.errors import ConfigError
from wavecoder.plugins import nearest
from wavecoder.records import digest
from wavecoder.train.config import Variant
from wavecoder.train.conversations import Conversation

__all__ = ["hold_out", "uses"]

_TASKS = ("generation", "other", "repair", "summarization", "translation")
"""What an instance of the built-in tasks, or a row of another dataset, is an instance of."""


def hold_out(
    conversations: Sequence[Conversation], fraction: float, *, seed: int
) -> frozenset[str]:
    """Return the ids of the dialogues that are not trained on: whole groups, never all.

    Args:
        conversations: All there are.
        fraction: Share of them to hold out, at least; more than 0 holds out a group, where there
            are two.
        seed: The run's random seed.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for one in conversations:
        groups[one.group].append(one.id)
    held: list[str] = []
    if fraction > 0:
        order = sorted(groups, key=lambda group: (digest(str(seed), group), group))
        for group in order[:-1]:
            held += groups[group]
            if len(held) >= fraction * len(conversations):
                break
    return frozenset(held)


def uses(
    conversations: Sequence[Conversation],
    variants: Mapping[str, Variant],
    mix_weights: Mapping[str, float],
    *,
    seed: int,
    apart: Collection[str] = (),
) -> dict[str, tuple[int, ...]]:
    """Return how often an epoch of each variant has each dialogue.

    A weight of 2.3 is two uses of each dialogue and a third of three in ten of them; a larger
    weight keeps what a smaller one drew. `size` draws every task (and every other dataset) down by
    the same share, as nearly as whole numbers allow.

    Args:
        conversations: All there are.
        variants: By name.
        mix_weights: Of other datasets, by `Conversation.source`.
        seed: The run's random seed.
        apart: Ids of those that are held out.

    Returns:
        By variant, a number for each of `conversations`, in their order; 0 of those held out.

    Raises:
        ConfigError: A variant weighs a task that no dialogue has (a weight of 0 may name a built-in
            one), or is left with nothing.
    """
    pools = _pools(conversations, mix_weights, seed, apart)
    tasks = sorted({one.task for one in conversations})
    wanted: dict[str, list[int]] = {}
    for name, variant in variants.items():
        for task, weight in variant.weights.items():
            if task not in tasks and (weight or task not in _TASKS):
                meant = "" if task in _TASKS else nearest(task, sorted({*tasks, *_TASKS}))
                raise ConfigError(
                    f"The variant {name} weighs the task {task!r}, which no dialogue has.{meant} "
                    f"Take it out of weights, or make instances of it; there are dialogues of: "
                    f"{', '.join(tasks)}."
                )
        wanted[name] = [
            _times(variant.weights.get(task, 1.0) * mix_weights.get(source or "", 1.0), len(pool))
            for (task, source), pool in pools.items()
        ]
        if isinstance(variant.size, int):
            wanted[name] = _share(wanted[name], variant.size)
        if sum(wanted[name]) == 0:
            raise ConfigError(
                f"The variant {name} is left with no dialogue to train on. Raise its weights, or "
                f"those of train.data."
            )
    smallest = min((sum(counts) for counts in wanted.values()), default=0)
    found = {}
    for name, variant in variants.items():
        counts = wanted[name]
        if variant.size == "smallest":
            counts = _share(counts, smallest)
        found[name] = _spread(counts, list(pools.values()), len(conversations))
    return found


def _pools(
    conversations: Sequence[Conversation],
    mix_weights: Mapping[str, float],
    seed: int,
    apart: Collection[str],
) -> dict[tuple[str, str | None], list[int]]:
    """Return what is drawn from together: places of dialogues, in the order they are drawn in.

    By task, and by the source of another dataset's rows.
    """
    pools: dict[tuple[str, str | None], list[int]] = defaultdict(list)
    for place, one in enumerate(conversations):
        if one.id in apart:
            continue
        pools[one.task, one.source if one.source in mix_weights else None].append(place)

    def rank(place: int) -> tuple[str, str]:
        id = conversations[place].id
        return digest(str(seed), id), id

    return {
        key: sorted(pools[key], key=rank)
        for key in sorted(pools, key=lambda key: (key[0], key[1] or ""))
    }


def _times(weight: float, count: int) -> int:
    """Return how many uses of `count` dialogues a weight means."""
    whole = floor(weight)
    return whole * count + floor((weight - whole) * count + 0.5)


def _share(counts: Sequence[int], limit: int) -> list[int]:
    """Return counts of `limit` in all, in the same proportions; the largest remainders round up."""
    total = sum(counts)
    if total <= limit:
        return list(counts)
    shares = [count * limit // total for count in counts]
    remainders = [count * limit % total for count in counts]
    order = sorted(range(len(counts)), key=lambda one: (-remainders[one], one))
    for one in order[: limit - sum(shares)]:
        shares[one] += 1
    return shares


def _spread(counts: Sequence[int], pools: Sequence[Sequence[int]], size: int) -> tuple[int, ...]:
    """Return the uses of each dialogue, those of a pool spread over it evenly."""
    found = [0] * size
    for count, pool in zip(counts, pools, strict=True):
        each, more = divmod(count, len(pool))
        for rank, place in enumerate(pool):
            found[place] = each + (rank < more)
    return tuple(found)
