"""How many functions of each language, source or repository a selection takes."""

from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from wavecoder.errors import ConfigError
from wavecoder.plugins import nearest

__all__ = ["Quotas"]

_KEYS = ("language", "source", "repository")


class Quotas(BaseModel):
    """Bounds on the number of picks by group: `language`, or `{language: {python: 100}}`.

    Without numbers each group gets the same, as far as it has functions; what a small group
    leaves over goes to the others. Of more groups than picks, the selector takes some.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    by: Literal["language", "source", "repository"]
    """What makes a group."""
    counts: dict[str, Annotated[int, Field(ge=0)]] | None = None
    """Most picks of each group, by its name; groups that are not named get none."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        """Read `language` and `{language: {python: 100}}`."""
        if isinstance(value, str):
            return {"by": value}
        if isinstance(value, dict) and len(value) == 1 and (key := next(iter(value))) in _KEYS:
            return {"by": key, "counts": value[key]}
        return value

    def count(
        self, column: Any, k: int, free: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return each row's group, and how many rows each group may give.

        Args:
            column: The value of `by` for each row, an Arrow column; null is a group of its own, ``.
            k: How many rows are picked in all.
            free: Which rows may be picked, at least `k`.

        Raises:
            ConfigError: A named group has no row, or the quotas leave fewer than `k` rows.
        """
        names = sorted(name or "" for name in column.unique().to_pylist())
        place = {name: code for code, name in enumerate(names)}
        values = (place[name or ""] for name in column.to_pylist())
        groups = np.fromiter(values, np.int64, len(column))
        sizes = np.bincount(groups[free], minlength=len(names))
        if self.counts is None:
            return groups, _shares(sizes, k)
        for name in self.counts:
            if name not in place:
                raise ConfigError(
                    f"select.quotas names the {self.by} {name!r}, and collect kept no function of "
                    f"it.{nearest(name, names)} There are: {', '.join(names[:20])}."
                )
        quotas = np.array([self.counts.get(name, 0) for name in names], dtype=np.int64)
        most = int(np.minimum(quotas, sizes).sum())
        if most < k:
            smaller = f", or set k to at most {most}" if most else ""
            raise ConfigError(
                f"select.quotas allow {most} functions and select.k is {k}. "
                f"Raise the quotas{smaller}."
            )
        return groups, quotas


def _shares(sizes: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Return how many of `k` each group gets: the same, but never more than it has.

    What cannot be shared evenly goes to the groups that come first. Of more groups than `k` each
    may give one: else those that come last would never be looked at.
    """
    if k < np.count_nonzero(sizes):
        return np.minimum(sizes, 1)
    shares = np.zeros(len(sizes), dtype=np.int64)
    left = k
    while left > 0:
        open_groups = np.flatnonzero(shares < sizes)
        share = left // len(open_groups)
        if share == 0:
            shares[open_groups[:left]] += 1
            break
        more = np.minimum(share, sizes[open_groups] - shares[open_groups])
        shares[open_groups] += more
        left -= int(more.sum())
    return shares
