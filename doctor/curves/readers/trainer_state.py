"""Read the `trainer_state.json` of the Hugging Face Trainer (and TRL, Axolotl, Unsloth, …).

Old and new: with and without `grad_norm`; NaN and Infinity as bare tokens; several evaluation
sets as `eval_<name>_loss`; numbers in quotes. The last row is the run's summary (`train_loss` is
the average over the run) and no record. A bare list of such rows, as people save
`trainer.state.log_history`, is read too, and so is a state inside of another file. Rows are
decoded one by one, so that a large file is never held as a whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ftspec.doctor.curves.log import BLOCK, HEAD_BYTES, Log
from ftspec.doctor.curves.readers.builder import Builder
from ftspec.doctor.curves.readers.reader import Reader
from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.values import positive, whole
from ftspec.doctor.curves.words import count

FORMAT = "hf_trainer_state"

_ROWS = re.compile(r"['\"]log_history['\"]\s*:\s*\[")
_NEXT = re.compile(r"[\s,]*")
_KEYS = re.compile(r"\"(\w+)\"\s*:\s*(-?[\d.]+(?:[eE][-+]?\d+)?)\s*[,}\n]")
_STATE = ("max_steps", "num_train_epochs", "train_batch_size", "logging_steps")
LARGEST_ROW = 16 * BLOCK  # what does not end by then is broken

_decoder = json.JSONDecoder(parse_constant=lambda word: float(word.removeprefix("-")))


def score(log: Log) -> float:
    """Count the rows that a `log_history`, or a list of objects with a loss, seems to hold."""
    if any(_ROWS.search(window) for window in log.windows):
        return 4.0 * max(50, sum(window.count('loss"') for window in log.windows))
    head = log.head.lstrip().lstrip("\ufeff")
    if head.startswith("{") and '"log_history"' in head:
        return 1.0
    listed = re.match(r"\[\s*\{", head) and re.search(r"\"(?:\w+[_/])?loss\"\s*:", head)
    return 4.0 * head.count('loss"') if listed else 0.0


def read(log: Log) -> Run:
    """Read the rows; of a file that is cut off or broken, those before the fault."""
    builder = Builder()
    reading = _Reading(log)
    for place, row in enumerate(reading.rows(), 1):
        if not isinstance(row, dict):
            builder.problem(f"row {place} of the log is not an object")
            continue
        broken = len(builder.problems)
        builder.row(row)
        if len(builder.problems) > broken:
            builder.problems[-1] = type(builder.problems[-1])(
                f"row {place}: the loss is not a number"
            )
    if reading.fault:
        builder.problem(reading.fault, reading.line)
    builder.plan(
        micro_batch=whole(reading.state.get("train_batch_size")),
        epochs=positive(reading.state.get("num_train_epochs")),
        max_steps=whole(reading.state.get("max_steps")),
        logging_steps=whole(reading.state.get("logging_steps")),
    )
    return builder.run(log.name, FORMAT)


class _Reading:
    """Decodes the rows of a list while the text comes in."""

    def __init__(self, log: Log) -> None:
        self._pieces = log.pieces()
        self._text, self._at = "", 0
        self._lines = 1  # the number of the line that `_text` begins in
        self.state: Mapping[str, Any] = {}
        self.fault = ""
        self.line: int | None = None

    def rows(self) -> Iterator[Any]:
        """Yield the rows; afterwards `state`, `fault` and the fault's `line` are known."""
        if not self._begin():
            self.fault = "`log_history` is not a list"
            return
        read = 0
        while True:
            gap = _NEXT.match(self._text, self._at)
            at = gap.end() if gap else self._at
            if self._text[at : at + 1] == "]":
                self._after(at)
                return
            try:
                row, self._at = _decoder.raw_decode(self._text, at)
            except (ValueError, RecursionError) as error:
                if isinstance(error, ValueError) and self._more(at):
                    continue
                why = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
                self.fault = f"broken JSON ({why}); {count(read, 'row')} before it could be read"
                self.line = self._lines + self._text.count("\n", 0, at)
                return
            read += 1
            yield row

    def _begin(self) -> bool:
        """Go to the first row: behind `log_history`, else behind the bracket that opens a list."""
        before = ""
        while self._more(0):
            opening = _ROWS.search(self._text)
            if opening:
                before = self._text[: opening.start()]
                self._at = opening.end()
                break
            start = self._text[:HEAD_BYTES].lstrip().removeprefix("\ufeff")
            if start.startswith("[") and self._lines == 1:
                self._at = self._text.index("[") + 1
                break
            if len(self._text) > 2 * BLOCK:
                self._forget(len(self._text) - HEAD_BYTES)
        self.state = _settings(before)
        return self._at > 0

    def _more(self, at: int) -> bool:
        """Read on, forgetting what lies before a place; say whether there was more to read."""
        if len(self._text) - at > LARGEST_ROW:
            return False
        piece = next(self._pieces, "")
        while piece == "":
            following = next(self._pieces, None)
            if following is None:
                return False
            piece = following
        if at:
            self._forget(at)
        self._text += piece
        return True

    def _forget(self, at: int) -> None:
        self._lines += self._text.count("\n", 0, at)
        self._text, self._at = self._text[at:], 0

    def _after(self, at: int) -> None:
        """Take the settings that follow the list."""
        while len(self._text) - at < HEAD_BYTES and self._more(at):
            at = 0
        self.state = {**self.state, **_settings(self._text[at : at + HEAD_BYTES])}


def _settings(text: str) -> dict[str, Any]:
    return {key: value for key, value in _KEYS.findall(text) if key in _STATE}


READER = Reader(FORMAT, "Hugging Face trainer_state.json", score, read)
