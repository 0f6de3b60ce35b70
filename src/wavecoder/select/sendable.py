"""What may be sent to an embedder elsewhere: functions that hold no key and no password."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavecoder.artifact import Records
from wavecoder.languages.secrets import secret_in
from wavecoder.records import RawCode

__all__ = ["Sendable", "secrets_in"]


def secrets_in(found: Records[RawCode], check: Callable[[], None]) -> Mapping[int, str]:
    """Return what the first secret is and where, by the rows of the functions that hold one.

    Args:
        found: The functions.
        check: Called between portions; may raise StoppedError.
    """
    secrets: dict[int, str] = {}
    start = 0
    for table in found.tables(["code", "docstring"]):
        check()
        columns = (table[name].to_pylist() for name in ("code", "docstring"))
        for row, (code, docstring) in enumerate(zip(*columns, strict=True), start):
            if (secret := secret_in(code, docstring)) is not None:
                secrets[row] = secret
        start += len(table)
    return secrets


class Sendable:
    """Functions without those that hold a secret; read like `Records`, as often as one likes."""

    def __init__(self, found: Records[RawCode], secrets: Iterable[int]) -> None:
        """Leave out the functions at the rows of `secrets`."""
        self._found = found
        self._may = np.ones(len(found), dtype=np.bool_)
        self._may[list(secrets)] = False

    @property
    def rows(self) -> NDArray[np.int64]:
        """The rows that are left, counted as before."""
        return np.flatnonzero(self._may)

    def __len__(self) -> int:
        return int(self._may.sum())

    def __iter__(self) -> Iterator[RawCode]:
        return compress(self._found, self._may)

    def take(self, rows: Sequence[int]) -> list[RawCode]:
        """Return the functions at those rows, counted without those left out."""
        return self._found.take(self.rows[list(rows)].tolist())

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[Any]:
        """Yield the rows in order as Arrow tables; `columns` as with `Records`."""
        import pyarrow as pa

        start = 0
        for table in self._found.tables(columns):
            yield table.filter(pa.array(self._may[start : start + len(table)]))
            start += len(table)
