"""Rows that say the same as one before them.

What it finds
    Rows whose texts are equal to those of an earlier row, and rows that are equal but for case
    and runs of spaces. Other columns, such as an id, are not compared. The first of each group
    is not counted.

Why it matters
    A row that comes n times is trained n times as often: the model learns it by heart. In
    held-out data it counts n times.

Evidence it needs
    All rows of all files that are checked together.

Example
    ```
    {"id": 1, "instruction": "Sum up.", "output": "It is about bees."}
    {"id": 9, "instruction": "Sum up.", "output": "It is about  bees."}
    ```

What to do
    Keep one of them. `ftspec data clean` sets the later ones aside.

References
    Lee et al., Deduplicating Training Data Makes Language Models Better (2022).
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


class Duplicates:
    """Remembers each row by its texts but for case and spaces, with a key of the texts as such."""

    def __init__(self, asked: Asked) -> None:
        self._rows = KeyStore(2, asked.held)

    def see(self, file: int, example: Example) -> None:
        """Note a row's keys; of a preference the answers count as they stand."""
        keys = example.keys
        if keys is None or not example.text.strip():
            return
        place = pack(file, example.record.number)
        self._rows.add(keys.exact if example.chosen else keys.row, keys.exact, place)

    def take(self, later: Duplicates) -> None:
        """Note the rows that another saw."""
        self._rows.take(later._rows)

    def found(self) -> Iterator[Found]:
        """Yield the later rows of each group."""
        for group in self._rows.groups():
            firsts: dict[int, int] = {}  # exact key -> the first row that has it
            for exact, place in group:
                first = firsts.setdefault(exact, place)
                if place != group[0][1]:
                    yield _found(place, first if first != place else group[0][1], first != place)
        self._rows.close()

    def about(self, file: int) -> Mapping[str, Any] | None:
        """Say nothing of the file as a whole."""


def _found(place: int, first: int, equal: bool) -> Found:
    file, row = unpack(place)
    other_file, other = unpack(first)
    kind = "exact" if equal else "but for case and spaces"
    where = f"row {other:,}" + ("" if other_file == file else " of another file")
    return Found(file, row, None, Hit(f"the same as {where} ({kind})", kind=kind))


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for duplicates."""
    yield from told(
        RULE,
        hits,
        "{rows} repeat{s} an earlier row",
        help="keep one of each; `ftspec data clean` sets the later ones aside",
    )


RULE = Rule("FT511", "duplicate", Severity.WARNING, find)
