"""No row that shows what not to answer.

What it finds
    Instruction data of 500 rows and more in which no answer declines, says that it does not
    know, that something is missing, or asks back. Preferences have their rejected answers.

Why it matters
    A model that never saw an unanswerable question answers all of them, with something made up.

Evidence it needs
    500 rows.

Example
    ```
    "There is no order with that number in what you sent; can you check it?"
    ```

What to do
    Add some rows that cannot be answered, with the answer you would want. For a task of one
    form, such as sums, it is of no matter.

References
    Rajpurkar et al., Know What You Don't Know (2018).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ftspec.doctor.data.example import Example
from ftspec.doctor.data.hits import Found, Hits, about_file
from ftspec.doctor.data.rule import Asked
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

ROWS = 500
_NEGATIVE = re.compile(
    r"\b(?:i (?:do not|don't) (?:know|have)|i(?:'m| am) (?:not (?:sure|able)|unable)|unclear"
    r"|i (?:cannot|can't)"
    r"|(?:cannot|can't|unable to) (?:be (?:known|told|said|answered|determined)|know|tell|say"
    r"|answer|determine|find|help|provide|access|assist)"
    r"|not enough information|does not (?:say|mention|contain)|please provide|i need more"
    r"|could you (?:clarify|provide|tell|please)|can you (?:provide|clarify|check)"
    r"|no (?:information|such)|not (?:provided|mentioned))",
    re.IGNORECASE,
)
# One of these is in all of them; most answers have none.
_MARKS = (
    *("don't", "do not", "not sure", "can", "unable", "unclear", "enough", "does not", "please"),
    *("need more", "could you", "no information", "no such", "not provided", "not mentioned"),
)
_LOOKED = 300  # characters of an answer


class Negatives:
    """Looks for the first answer that declines; after it nothing is looked at."""

    def __init__(self, asked: Asked) -> None:
        self._rows: dict[int, int] = {}
        self._seen: set[int] = set()

    def see(self, file: int, example: Example) -> None:
        """Look at a row's answer."""
        self._rows[file] = self._rows.get(file, 0) + bool(example.answers)
        if file in self._seen or not example.answers:
            return
        if example.format == "preference":
            self._seen.add(file)
            return
        head = example.answer[:_LOOKED].lower()
        for mark in _MARKS:
            if mark in head:
                if _NEGATIVE.search(head):
                    self._seen.add(file)
                return

    def take(self, later: Negatives) -> None:
        """Add what another counted."""
        for file, rows in later._rows.items():
            self._rows[file] = self._rows.get(file, 0) + rows
        self._seen |= later._seen

    def found(self) -> Iterator[Found]:
        """Yield nothing: no row is at fault."""
        yield from ()

    def about(self, file: int) -> Mapping[str, Any] | None:
        """Return the rows where none declines."""
        rows = self._rows.get(file, 0)
        return {"answers": rows} if rows >= ROWS and file not in self._seen else None


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for data without a negative row."""
    yield from about_file(
        RULE,
        hits,
        f"none of {hits.about['answers']:,} answers declines or asks back",
        help="add rows that cannot be answered, with the answer you would want",
        **hits.about,
    )


RULE = Rule("FT555", "no-negatives", Severity.INFO, find)
