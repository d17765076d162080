"""Read what the Hugging Face Trainer prints: a dict a record, among progress bars and warnings.

transformers 4 prints numbers (`nan` without quotes), transformers 5 prints each as a string. The
step is in none of them: it is taken from the progress bar before, else counted in logging steps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ftspec.doctor.curves.log import Log
from ftspec.doctor.curves.readers.builder import Builder
from ftspec.doctor.curves.readers.keys import meaning
from ftspec.doctor.curves.readers.printed import LINE, LONGEST, Pairs, Row, read_lines
from ftspec.doctor.curves.readers.reader import Reader
from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.values import number, whole

FORMAT = "hf_stdout"
_PAIRS = Pairs()
WRAPPED = 30  # lines that one dict may be wrapped over

_DICT = re.compile(r"\{\s*['\"][\w/.\- ]+['\"]\s*:[^{}]*\}")
_ITEM = re.compile(
    r"['\"]([^'\"]+)['\"]\s*:\s*(?:'([^']*)'|\"([^\"]*)\"|([^,{}'\"]+(?:\([^)]*\))?))"
)
_LOSS = re.compile(r"['\"](?:\w+[/_])?loss['\"]\s*:|['\"]train_runtime['\"]\s*:")
_BAR = re.compile(r"\|[^|]*\|\s*(\d+)/(\d+) \[")
_TRAINING = ("train:", "training:", "progress:")
_TRAINED = re.compile(r"['\"]loss['\"]\s*:")
_EVALUATED = re.compile(r"(?:[eE]val(?:uation)?|[vV]alidation|[tT]est) (?:results?|metrics?)\W*$")
_BATCHES = re.compile(r"(?:^|[| ])(\d+)/\d+ \[")
_OPEN = re.compile(r"\{\s*['\"](?:\w+[/_])?loss['\"]\s*:[^{}]*$")


def score(log: Log) -> float:
    """Count the printed dicts with a loss in the windows."""
    return sum(
        1.5
        for window in log.windows
        if _LOSS.search(window)
        for found in _DICT.finditer(window)
        if _LOSS.search(found.group())
    )


def read(log: Log) -> Run:
    """Read the dicts, and lines of another loop where no dict is a training record."""
    trained = any(
        _TRAINED.search(found) and not _EVALUATED.search(window[max(0, start - 40) : start])
        for window in log.windows
        for start, found in ((m.start(), m.group()) for m in _DICT.finditer(window))
    )
    return read_text(log, FORMAT, lines=not trained)


def read_text(log: Log, format: str, lines: bool) -> Run:
    """Read printed dicts and, with `lines`, printed steps and losses."""
    builder = Builder()
    read_lines(log, builder, _Taking(lines).take, _spans)
    every = builder.planned.logging_steps
    if every and "step" not in builder.columns:
        builder.count_steps(every)
    return builder.run(log.name, format)


def _spans(line: str) -> Iterator[tuple[str, int, int]]:
    """Yield names and places of the numbers in a line: of its bar and dict, else of its pairs."""
    found = _DICT.search(line)
    if found is None:
        yield from _PAIRS.spans(line) if _BATCHES.search(line) is None else ()
        return
    if _EVALUATED.search(line, 0, found.start()) or _DICT.search(line, found.end()):
        return
    bar = _bar(line)
    if bar is not None:
        yield "step", bar.start(1), bar.end(1)
    for match in _ITEM.finditer(line, found.start(), found.end()):
        value = next(group for group in (2, 3, 4) if match.group(group))
        yield match.group(1), match.start(value), match.end(value)


def _bar(line: str) -> re.Match[str] | None:
    """Return the last bar of a line, unless its name says that it counts something else."""
    end = line.rfind("%|")
    if end < 0:
        return None
    before = line[max(0, end - 40) : end].rstrip("0123456789").rstrip()
    named = before.endswith(":") and not before.lower().endswith(_TRAINING)
    return None if named or before[-1:].isalnum() else _BAR.match(line, end + 1)


class _Taking:
    """The state of one reading: the bar last seen, and a dict that is wrapped over lines."""

    def __init__(self, lines: bool) -> None:
        self._lines = lines
        self._step: float | None = None
        self._total: str | None = None
        self._open: list[str] = []

    def take(self, builder: Builder, line: str, place: int) -> bool:
        """Take a line where it holds a record; say whether it did."""
        if self._open:
            line = self._wrapped(line)
            if self._open:
                return True
        if "%|" in line:
            bar = _bar(line)
            if bar:
                self._step, self._total = float(bar.group(1)), bar.group(2)
            if line.endswith("]") and "{" not in line and not (self._lines and "oss" in line):
                return True
        if "{" in line and self._dicts(builder, line, place):
            return True
        if self._lines and "oss" in line.lower() and LINE.search(line):
            kinds = [builder.row(_with_batch(row, line), place) for row in _PAIRS(line)]
            return any(kind in ("train", "both", "eval") for kind in kinds)
        return False

    def _dicts(self, builder: Builder, line: str, place: int) -> bool:
        found = [match for match in _DICT.finditer(line) if _LOSS.search(match.group())]
        for match in found:
            evaluated = _EVALUATED.search(line, max(0, match.start() - 40), match.start())
            self._row(builder, match.group(), place, "eval_" if evaluated else "")
        if not found and _OPEN.search(line):
            self._open = [line]
            return True
        return bool(found)

    def _wrapped(self, line: str) -> str:
        """Join a dict that was wrapped: loggers of rich break lines at the terminal's width."""
        self._open.append(line)
        if "}" in line or len(self._open) > WRAPPED:
            line, self._open = " ".join(part.strip() for part in self._open)[:LONGEST], []
        return line

    def _row(self, builder: Builder, text: str, place: int, prefix: str) -> None:
        row: dict[str, Any] = {}
        for key, single, double, bare in _ITEM.findall(text):
            row[key] = single or double or bare.rstrip()
        if prefix and not any(key.startswith(prefix) for key in row):
            row = {prefix + key: value for key, value in row.items()}
        try:
            row = {key: float(value) for key, value in row.items()}
        except ValueError:
            row = {key: number(value) for key, value in row.items()}
            row = {key: value for key, value in row.items() if value is not None}
        if "loss" in row and "step" not in row and self._step is not None:
            row, self._step = {"step": self._step, **row}, None
            if builder.planned.max_steps is None and self._total is not None:
                builder.plan(max_steps=whole(self._total))
        builder.row(row, place)


def _with_batch(row: Row, line: str) -> Row:
    """Add the place in a bar (`Epoch 3:  45%|##  | 450/1000 [00:45, loss=2.3]`) as the batch."""
    bar = _BATCHES.search(line)
    if bar is None or any(meaning(name).role == "step" for name in row):
        return row
    return {**row, "batch": float(bar.group(1))}


READER = Reader(FORMAT, "printed by the Hugging Face Trainer", score, read)
