"""The same prompt with different answers.

What it finds
    Rows that say the same before their last answer, but for case and spaces, and have different
    last answers. Rows of preferences and verdicts are made so, and are left out; so are texts
    without an answer.

Why it matters
    Where there is one right answer, one of the two is wrong, and the loss cannot fall below the
    price of the doubt. Where many are right, it is no fault.

Evidence it needs
    All rows of all files that are checked together.

Example
    ```
    {"instruction": "Sentiment: fine.", "output": "positive"}
    {"instruction": "Sentiment: fine.", "output": "negative"}
    ```

What to do
    Look at the rows, and keep the right answer. Where several are right, leave them.

References
    Northcutt et al., Pervasive Label Errors (2021).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ftspec.doctor.data.example import Example
from ftspec.doctor.data.hits import Found, Hit, Hits, told
from ftspec.doctor.data.places import pack, unpack
from ftspec.doctor.data.rule import Asked
from ftspec.doctor.data.store import KeyStore
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


class Conflicts:
    """Remembers the prompt of each row, and the answer to it, by their keys."""

    def __init__(self, asked: Asked) -> None:
        self._prompts = KeyStore(2, asked.held)

    def see(self, file: int, example: Example) -> None:
        """Note a row: its prompt as the key, with its answer and its place."""
        keys = example.keys
        if keys is None or not keys.prompt or not example.answers or example.chosen:
            return
        self._prompts.add(keys.prompt, keys.answer, pack(file, example.record.number))

    def take(self, later: Conflicts) -> None:
        """Note the rows that another saw."""
        self._prompts.take(later._prompts)

    def found(self) -> Iterator[Found]:
        """Yield the rows whose prompt has other answers as well, all of them."""
        for group in self._prompts.groups():
            answer, first = group[0]
            different = len({answer for answer, _ in group})
            if different < 2:
                continue
            second = next(place for other, place in group if other != answer)
            for _, place in group:
                file, row = unpack(place)
                other_file, other = unpack(first if place != first else second)
                where = f"row {other:,}" + ("" if other_file == file else " of another file")
                yield Found(
                    file, row, None, Hit(f"{different:,} answers to this prompt, as in {where}")
                )
        self._prompts.close()

    def about(self, file: int) -> Mapping[str, Any] | None:
        """Say nothing of the file as a whole."""


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for conflicting answers."""
    yield from told(
        RULE,
        hits,
        "{rows} {have} a prompt that is answered differently elsewhere",
        help="keep the right answer of each, unless several are right",
        confidence=0.7,
    )


RULE = Rule("FT513", "conflicting-answers", Severity.WARNING, find)
