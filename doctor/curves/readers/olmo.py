"""Read what OLMo prints: blocks that begin with `[step=2/15000,epoch=0]`, a quantity a line."""

from __future__ import annotations

import re
from typing import Any

from ftspec.doctor.curves.log import Log
from ftspec.doctor.curves.readers.builder import Builder
from ftspec.doctor.curves.readers.printed import read_lines
from ftspec.doctor.curves.readers.reader import Reader
from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.values import number, whole

FORMAT = "olmo"

_N = r"\d+(?:,\d{3})*"
_HEAD = re.compile(rf"\[step=({_N})(?:/({_N}))?(?:,epoch=({_N})(?:/{_N})?)?[^\]]*\]\s*$")
_ITEM = re.compile(r"^(?:.*?\s)??\s{2,}([A-Za-z][\w/.() \-]*)=(\S+)\s*$")


def score(log: Log) -> float:
    """Count the heads of blocks in the windows."""
    return sum(
        2.0
        for window in log.windows
        if "[step=" in window
        for line in window.splitlines()
        if _HEAD.search(line)
    )


def read(log: Log) -> Run:
    """Read the blocks."""
    builder = Builder()
    taking = _Taking()
    read_lines(log, builder, taking.take, None)
    taking.close(builder)
    return builder.run(log.name, FORMAT)


class _Taking:
    """The block that is being read."""

    def __init__(self) -> None:
        self._row: dict[str, Any] = {}
        self._line = 0

    def take(self, builder: Builder, line: str, place: int) -> bool:
        head = _HEAD.search(line) if "[step=" in line else None
        if head:
            self.close(builder)
            self._row, self._line = {"step": number(head.group(1))}, place
            builder.plan(max_steps=whole(number(head.group(2))))
            if head.group(3):
                self._row["epoch"] = number(head.group(3))
            return True
        item = _ITEM.match(line) if self._row and "=" in line else None
        if item is None:
            self.close(builder)
            return False
        value = number(item.group(2))
        if value is not None:
            self._row[item.group(1)] = value
        return True

    def close(self, builder: Builder) -> None:
        if len(self._row) > 1:
            builder.row(self._row, self._line)
        self._row = {}


READER = Reader(FORMAT, "OLMo", score, read)
