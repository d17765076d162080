"""Read tables with a loss column: CSV or TSV of Keras, Lightning, W&B exports, spreadsheets.

Lightning leaves most cells of a row empty, one group of quantities a row. An export of W&B's
page has a column for each run (`<run> - train/loss`, with `__MIN` and `__MAX` beside it): each
run is read in turn. `No log` is how notebooks show an empty cell.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import compress
from typing import Any

from ftspec.doctor.curves.log import Log
from ftspec.doctor.curves.readers.builder import Builder
from ftspec.doctor.curves.readers.keys import meaning
from ftspec.doctor.curves.readers.reader import Reader
from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.values import number

FORMAT = "csv"
FIRST_LINES = 40  # a header stands among these
TOGETHER = 4096  # rows taken at once
EMPTY = frozenset({"", "no log", "none", "null", "n/a", "na", "-", "--"})

_RUN = re.compile(r"(.+) - ([\w/.\- ]+?)(__MIN|__MAX)?")
_LOSSES = ("loss", "eval-loss")


def score(log: Log) -> float:
    """Count the rows under a header that names a loss, in the first window."""
    found = _header(log.head)
    if found is None:
        return 0.0
    place, mark, names = found
    lines = log.head.splitlines()[place + 1 :]
    width = len(names)
    return 1.1 * sum(
        len(cells) >= min(width, 2) and any(number(cell) is not None for cell in cells)
        for cells in (_cells(line, mark) for line in lines)
    )


def read(log: Log) -> Run:
    """Read the rows under the header; a header that is repeated begins another run."""
    builder = Builder()
    found = _header(log.head)
    if found is not None:
        place, mark, names = found
        exported = _runs(names)
        for run, columns in exported.items():
            if run:
                builder.event("start", f"run {run}")
            _rows(builder, log, place, mark, columns)
        if len(exported) > 1:
            builder.note(f"a table of {len(exported)} runs: each is read, one is judged")
    return builder.run(log.name, FORMAT)


def _header(head: str) -> tuple[int, str, list[str]] | None:
    """Return the header's line (from 0), its separator and the names."""
    for place, line in enumerate(head.splitlines()[:FIRST_LINES]):
        line = line.removeprefix("\ufeff")
        if len(line) > 20_000 or "oss" not in line.lower() or "{" in line:
            continue
        for mark in ("\t", ",", ";", "|"):
            if mark not in line:
                continue
            names = _cells(line, mark)
            if all(number(name) is None for name in names) and _has_loss(names):
                return place, mark, names
    return None


def _has_loss(names: Sequence[str]) -> bool:
    return any(meaning(_own(name)).role in _LOSSES for name in names)


def _own(name: str) -> str:
    match = _RUN.fullmatch(name)
    return match.group(2) if match else name


def _cells(line: str, mark: str) -> list[str]:
    try:
        cells = next(csv.reader([line.replace("\0", "")], delimiter=mark), [])
    except csv.Error:
        cells = line.split(mark)
    cells = [cell.strip() for cell in cells]
    return cells[1:-1] if mark == "|" and cells[:1] == [""] and cells[-1:] == [""] else cells


def _runs(names: Sequence[str]) -> dict[str, dict[int, str]]:
    """Return, for each run in the table, which column is what; one run has the name ""."""
    shared = {i: name for i, name in enumerate(names) if not _RUN.fullmatch(name)}
    runs: dict[str, dict[int, str]] = {}
    for place, name in enumerate(names):
        match = _RUN.fullmatch(name)
        if match and not match.group(3):
            runs.setdefault(match.group(1), dict(shared))[place] = match.group(2)
    return runs or {"": shared}


def _rows(builder: Builder, log: Log, header: int, mark: str, columns: dict[int, str]) -> None:
    names, places = tuple(columns.values()), tuple(columns)
    whole = places == tuple(range(len(places)))
    plain: list[list[str]] = []
    for line, cells in _lines(log, header, mark):
        if not whole:
            cells = [cells[place] if place < len(cells) else "" for place in places]
        if len(cells) == len(names) and builder.takes(names) and "" not in cells:
            plain.append(cells)
            if len(plain) < TOGETHER:
                continue
        _together(builder, names, plain)
        if not plain:
            _row(builder, names, cells, line)
        plain = []
    _together(builder, names, plain)


def _together(builder: Builder, names: tuple[str, ...], rows: list[list[str]]) -> None:
    """Take full rows at once; where one of them has a word in it, each by itself."""
    if rows:
        try:
            builder.texts(names, rows)
        except ValueError:
            for cells in rows:
                _row(builder, names, cells, None)


def _row(builder: Builder, names: tuple[str, ...], cells: list[str], line: int | None) -> None:
    if len(cells) < len(names) and len(cells) < 2:
        if cells != [""]:
            builder.problem(f"a row of {len(cells)} cells of {len(names)}", line)
        return
    try:
        row: dict[str, Any] = dict(zip(names, map(float, cells), strict=True))
    except ValueError:
        row = _sparse(names, cells)
        if not row and cells[: len(names)] == list(names):
            builder.event("start", line=line)
    taken = builder.row(row, line) if row else "other"
    if taken in ("other", "loose") and _worded(names, cells):
        builder.problem(f"the loss is not a number: {' '.join(cells)[:60]}", line)


def _sparse(names: Sequence[str], cells: Sequence[str]) -> dict[str, Any]:
    """Leave out what is empty or a word; a quantity that is no number stays away."""
    known = [cell.lower() not in EMPTY for cell in cells]
    row = dict(zip(compress(names, known), map(number, compress(cells, known)), strict=False))
    return {name: value for name, value in row.items() if value is not None}


def _worded(names: Sequence[str], cells: Sequence[str]) -> bool:
    return any(
        meaning(name).role == "loss" and cell.lower() not in EMPTY and number(cell) is None
        for name, cell in zip(names, cells, strict=False)
    )


def _lines(log: Log, header: int, mark: str) -> Iterator[tuple[int, list[str]]]:
    for number_, line in log.lines():
        if number_ <= header + 1:
            continue
        line = line.rstrip("\r")
        if '"' in line or mark == "|":
            yield number_, _cells(line, mark)
        else:
            yield number_, line.split(mark)


READER = Reader(FORMAT, "a table (CSV, TSV)", score, read)
