"""Held-out rows that are trained on.

What it finds
    Training rows whose prompt is the prompt of a held-out row, but for case and spaces, in
    whatever format the two are written. A conversation is compared by all that comes before its
    last answer, and by its first user turn where that has 12 words and more; a text as a whole.

Why it matters
    The evaluation measures memory: held-out loss falls with training loss, early stopping never
    comes, and every score is too good.

Evidence it needs
    The held-out rows: `--eval FILE`, or `data.eval` of the spec.

Example
    ```
    train.jsonl: {"instruction": "Which planet is the largest?", "output": "Jupiter."}
    eval.jsonl:  {"messages": [{"role": "user", "content": "Which planet is the largest?"}, ...]}
    ```

What to do
    Take the rows out of one of the two. `ftspec data clean --eval FILE` sets the training rows
    aside.

References
    Elangovan et al., Memorization vs. Generalization (2021). bench/data: GSM8K's train and test
    0, test and test_socratic 1,319 of 1,319.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ftspec.doctor.data.example import Example
from ftspec.doctor.data.hits import Found, Hit, Hits, told
from ftspec.doctor.data.noted import Noted
from ftspec.doctor.data.rule import Asked
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


class Leaks:
    """Asks of every row whether its prompt is held out."""

    def __init__(self, asked: Asked) -> None:
        self._held_out = asked.eval_prompts
        self._found = Noted()

    def see(self, file: int, example: Example) -> None:
        """Note a row whose prompt is held out."""
        keys = example.keys
        if keys is None or not self._held_out:
            return
        where = self._held_out.get(keys.prompt) or self._held_out.get(keys.first)
        if where:
            hit = Hit(f"its prompt is that of row {where:,} of the held-out data", example.prompt)
            self._found.note(file, example.record, "", hit)

    def take(self, later: Leaks) -> None:
        """Take in the rows that another noted."""
        self._found.take(later._found)

    def found(self) -> Iterator[Found]:
        """Yield the rows."""
        yield from self._found.found(lambda file, label: True)

    def about(self, file: int) -> Mapping[str, Any] | None:
        """Say nothing of the file as a whole."""


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for held-out rows that are trained on."""
    yield from told(
        RULE,
        hits,
        "{rows} {are} held out as well: the evaluation would measure memory",
        help="`ftspec data clean FILE --eval HELD_OUT -o OUT` sets them aside",
    )


RULE = Rule("FT514", "leakage", Severity.ERROR, find)
