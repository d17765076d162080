"""Training records as columns: one array of doubles a quantity, seen as a sequence of records."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import overload

NOT_LOGGED = -math.inf  # in a column; a logged -inf is stored as NaN
NOTHING: Mapping[str, array[float]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Record:
    """What was logged at one training step; None = not logged, NaN = logged as not finite."""

    step: float | None = None
    epoch: float | None = None
    loss: float | None = None
    grad_norm: float | None = None
    learning_rate: float | None = None
    tokens: float | None = None
    tokens_per_second: float | None = None
    memory_bytes: float | None = None


STANDARD = tuple(field.name for field in fields(Record))


class Records(Sequence[Record]):
    """Rows of columns, made into records only when asked for: 8 bytes a quantity and row.

    Columns that nothing was logged in are absent. `places` are the rows seen, in order; a slice,
    the judged part and the curve are views of the same columns.
    """

    __slots__ = ("columns", "places", "_standard")

    def __init__(
        self,
        columns: Mapping[str, array[float]] = NOTHING,
        places: range | array[int] | None = None,
    ) -> None:
        self.columns = columns
        size = max(map(len, columns.values()), default=0)
        self.places = range(size) if places is None else places
        self._standard = tuple(columns.get(name) for name in STANDARD)

    @classmethod
    def of(cls, records: Iterable[Record]) -> Records:
        """Return records in columns."""
        if isinstance(records, Records):
            return records
        rows = list(records)
        columns = {}
        for name in STANDARD:
            values = [stored(getattr(row, name)) for row in rows]
            if name == "loss" or any(value != NOT_LOGGED for value in values):
                columns[name] = array("d", values)
        return cls(columns)

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, place: int) -> Record: ...

    @overload
    def __getitem__(self, place: slice) -> Records: ...

    def __getitem__(self, place: int | slice) -> Record | Records:
        if isinstance(place, slice):
            return Records(self.columns, self.places[place])
        return self._record(self.places[place])

    def __iter__(self) -> Iterator[Record]:
        return map(self._record, self.places)

    def __repr__(self) -> str:
        return f"Records({list(self)!r})" if len(self) < 10 else f"Records({len(self)} of them)"

    def _record(self, row: int) -> Record:
        return Record(
            *[
                None if column is None or column[row] == NOT_LOGGED else column[row]
                for column in self._standard
            ]
        )

    def at(self, rows: Iterable[int]) -> Records:
        """Return a view of other rows of the same columns."""
        return Records(self.columns, array("q", rows))

    def raw(self, name: str) -> array[float] | None:
        """Return a column of these rows with NOT_LOGGED in its gaps; None where never logged."""
        column = self.columns.get(name)
        if column is None or (isinstance(self.places, range) and len(self) == len(column)):
            return column
        return array("d", map(column.__getitem__, self.places))

    def values(self, name: str) -> list[float | None]:
        """Return one quantity of all rows: None where it was not logged."""
        column = self.raw(name)
        if column is None:
            return [None] * len(self)
        return [None if value == NOT_LOGGED else value for value in column]


def stored(value: float | None) -> float:
    """Return a value as a column holds it."""
    if value is None:
        return NOT_LOGGED
    return math.nan if value == -math.inf else value
