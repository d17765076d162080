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
from ftspec.doctor.data.hits import Hit, Hits, told
from ftspec.doctor.data.places import pack, unpack
from ftspec.doctor.data.rule import Asked, Found
from ftspec.doctor.data.store import KeyStore
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


class Duplicates:
    """Remembers each row by two keys: of its texts, and of its texts but for case and spaces."""

    def __init__(self, asked: Asked) -> None:
        self._exact, self._alike = KeyStore(asked.held), KeyStore(asked.held)

    def see(self, file: int, example: Example) -> None:
        """Note a row's keys; a preference's answers are part of both."""
        keys = example.keys
        if keys is None or not example.text.strip():
            return
        place = pack(file, example.record.number)
        self._exact.add(keys.exact, place)
        self._alike.add(keys.exact if example.chosen else keys.row, place)

    def pairs(self) -> Iterator[tuple[int, int, bool]]:
        """Yield each later row with the first it is like, packed, and whether it is equal."""
        equal: dict[int, int] = {}
        for group in self._exact.groups():
            equal.update((later, group[0]) for later in group[1:])
        for group in self._alike.groups():
            for later in group[1:]:
                first = equal.pop(later, None)
                yield later, group[0] if first is None else first, first is not None
        for later, first in equal.items():
            yield later, first, True
        self._exact.close()
        self._alike.close()

    def found(self) -> Iterator[Found]:
        """Yield the later rows of each group."""
        for later, first, equal in self.pairs():
            file, row = unpack(later)
            kind = "exact" if equal else "but for case and spaces"
            other = unpack(first)
            where = f"row {other[1]:,}" + ("" if other[0] == file else " of another file")
            yield Found(file, row, None, Hit(f"the same as {where} ({kind})", kind=kind))

    def about(self, file: int) -> Mapping[str, Any] | None:
        """Say nothing of the file as a whole."""


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for duplicates."""
    yield from told(
        RULE,
        hits,
        "{rows} repeat{s} an earlier row",
        help="keep one of each; `ftspec data clean` sets the later ones aside",
    )


RULE = Rule("FT511", "duplicate", Severity.WARNING, find)
