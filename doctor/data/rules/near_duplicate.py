"""Rows that say almost the same as one before them.

What it finds
    Rows whose sets of three words in a row are at least 80 % the same as those of an earlier
    row (Jaccard), exact duplicates left out. Candidates come from MinHash with bands; each is
    checked on a sketch of the smallest 128 hashes, which is the whole set for texts of up to
    130 words.

Why it matters
    A template filled in many times teaches the template. Repeated beyond need it costs time and
    lessens what the rest teaches.

Evidence it needs
    All rows of all files that are checked together.

Example
    ```
    "Write a poem about the sea in four short lines, please."
    "Write a poem about the sun in four short lines, please."
    ```

What to do
    Keep a few of each kind. `ftspec data clean --fix near-duplicate` sets the later ones aside.

References
    Broder (1997); Li, Owen, Zhang, One Permutation Hashing (2012); Lee et al. (2022), who take
    0.8.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ftspec.doctor.data.example import Example
from ftspec.doctor.data.hits import Found, Hit, Hits, told
from ftspec.doctor.data.near import Near
from ftspec.doctor.data.places import pack, unpack
from ftspec.doctor.data.rule import Asked
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


class NearDuplicates:
    """Sketches each row; says at the end which are alike."""

    def __init__(self, asked: Asked) -> None:
        self._near = Near(asked.held) if asked.near else None

    def see(self, file: int, example: Example) -> None:
        """Sketch a row."""
        if self._near is not None and example.keys is not None:
            place = pack(file, example.record.number)
            text = (
                f"{example.prompt} {' '.join(example.answers)}" if example.answers else example.text
            )
            self._near.add(place, text, example.keys.row)

    def take(self, later: NearDuplicates) -> None:
        """Take in the sketches that another made."""
        if self._near is not None and later._near is not None:
            self._near.take(later._near)

    def found(self) -> Iterator[Found]:
        """Yield each row that is like an earlier one."""
        if self._near is None:
            return
        for later, first, alike in self._near.pairs():
            file, row = unpack(later)
            other = unpack(first)
            where = f"row {other[1]:,}" + ("" if other[0] == file else " of another file")
            yield Found(file, row, None, Hit(f"{alike:.0%} the same as {where}".replace("%", " %")))

    def about(self, file: int) -> Mapping[str, Any] | None:
        """Say nothing of the file as a whole."""


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for near-duplicates; under one in ten they are only information."""
    yield from told(
        RULE,
        hits,
        "{rows} {are} almost the same as an earlier row",
        help="keep a few of each kind; `ftspec data clean --fix near-duplicate` sets them aside",
        confidence=0.9,
    )


RULE = Rule("FT512", "near-duplicate", Severity.INFO, find)
