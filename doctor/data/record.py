"""One row of a data file as it was read, or what kept it from being read."""

from __future__ import annotations

from typing import Any, NamedTuple


class UnreadableDataError(Exception):
    """A file that cannot be read at all; `help` is the way out."""

    def __init__(self, message: str, help: str = "") -> None:
        super().__init__(message)
        self.help = help


class Fault(NamedTuple):
    """Why a row cannot be read; the column counts characters from 1 in the line of the fault."""

    text: str
    line: int | None = None
    column: int | None = None


class Record(NamedTuple):
    """A row: its number in the file (from 1), the line it begins on, and its value.

    `line` is None where a file has no lines (Parquet). `raw` is the row's own text where it is
    one of JSON lines, or what is left of a row with a fault. `odd` names a number that JSON has
    no word for (`NaN`, `Infinity`), which Python's reader accepts.
    """

    number: int
    line: int | None
    value: Any = None
    fault: Fault | None = None
    raw: str = ""
    odd: str = ""
