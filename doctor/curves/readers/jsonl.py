"""Read JSON lines with a loss: NeMo, exported W&B histories, LLaMA-Factory, ms-swift, any other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ftspec.doctor.curves.log import Log
from ftspec.doctor.curves.readers.builder import Builder
from ftspec.doctor.curves.readers.keys import Meaning, meaning
from ftspec.doctor.curves.readers.reader import Reader
from ftspec.doctor.curves.series import Run

FORMAT = "jsonl"

_LOSSES = ("loss", "eval-loss")
decode = json.JSONDecoder(parse_constant=lambda word: float(word.removeprefix("-"))).decode


def read(log: Log, format: str = FORMAT, keys: Mapping[str, Meaning] | None = None) -> Run:
    """Read each line as one row. A last line without its end is what a killed process leaves."""
    builder = Builder(keys)
    for line, found in rows(log, builder):
        if line is None:
            builder.rows(found)
        else:
            builder.row(found[0], line)
    return builder.run(log.name, format)


def rows(log: Log, builder: Builder) -> Iterator[tuple[int | None, list[dict[str, Any]]]]:
    """Yield the objects: those of a sound block together, those around a fault line by line.

    Lines that are no objects become problems of the builder.
    """
    last: tuple[int, str] | None = None
    for first, block in log.blocks():
        together = _together(block)
        if together and last is None:
            yield None, together
            continue
        for number, line in enumerate(block.split("\n"), first):
            if not line.strip():
                continue
            if last:
                builder.problem(f"not a JSON object: {last[1]}", last[0])
                last = None
            found = parse(line)
            if isinstance(found, dict):
                yield number, [found]
            else:
                last = number, _excerpt(line)
    if last:
        cut = last[1].lstrip().startswith("{")
        text = "the last line is cut off: the writer was killed or is still writing"
        builder.problem(text if cut else f"not a JSON object: {last[1]}", last[0])


def _together(block: str) -> list[dict[str, Any]] | None:
    """Decode many lines at once, which is faster; None where a line is not one whole object."""
    lines = [line for line in block.split("\n") if line and not line.isspace()]
    try:
        found = decode(f"[{','.join(lines)}]")
    except (ValueError, RecursionError):
        return None
    whole = len(found) == len(lines) and all(type(row) is dict for row in found)
    return found if whole else None


def parse(line: str) -> Any:
    """Return what a line holds; None where it is no JSON."""
    try:
        return decode(line)
    except (ValueError, RecursionError):
        return None


def head_rows(log: Log) -> Iterator[dict[str, Any]]:
    """Yield the objects that are lines of the windows."""
    for window in log.windows:
        for line in window.lstrip("\ufeff").splitlines():
            if line.lstrip()[:1] == "{":
                row = parse(line)
                if isinstance(row, dict):
                    yield row


def scored(weight: float, own: Callable[[Mapping[str, Any]], bool]) -> Callable[[Log], float]:
    """Make a score: so much for each object in the windows that is the format's own."""

    def score(log: Log) -> float:
        return weight * sum(own(row) for row in head_rows(log))

    return score


def has_loss(row: Mapping[str, Any], depth: int = 0) -> bool:
    """Say whether one of an object's keys is a loss."""
    for key, value in row.items():
        if meaning(str(key)).role in _LOSSES:
            return True
        if isinstance(value, dict) and depth < 2 and has_loss(value, depth + 1):
            return True
    return False


def _excerpt(line: str) -> str:
    return line if len(line) <= 60 else line[:57] + "..."


READER = Reader(FORMAT, "JSON lines", scored(2.0, has_loss), read)
