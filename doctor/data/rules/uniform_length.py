"""Answers that are all of one length.

What it finds
    Answers of more than ten words whose lengths differ from their mean by less than a tenth of
    it (standard deviation), in 50 rows and more.

Why it matters
    The model learns the length with the rest, and writes as much where a word would do.

Evidence it needs
    50 rows.

Example
    ```
    answers: 48 to 53 words, all 1,000 of them
    ```

What to do
    Add rows that are answered shortly, and rows that need more.

References
    Singhal et al., A Long Way to Go: Length Correlations in RLHF (2023).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ftspec.doctor.data.example import Example
from ftspec.doctor.data.hits import Found, Hits, about_file
from ftspec.doctor.data.rule import Asked
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

ROWS, SPREAD, WORDS = 50, 0.1, 10


class Lengths:
    """Sums the lengths of answers, in words, and their squares."""

    def __init__(self, asked: Asked) -> None:
        self._sums: dict[int, list[int]] = {}

    def see(self, file: int, example: Example) -> None:
        """Count the words of a row's answer, by its spaces."""
        if example.answers:
            words = example.spaces + 1
            sums = self._sums.setdefault(file, [0, 0, 0])
            sums[0] += 1
            sums[1] += words
            sums[2] += words * words

    def take(self, later: Lengths) -> None:
        """Add what another summed."""
        for file, sums in later._sums.items():
            mine = self._sums.get(file, [0, 0, 0])
            self._sums[file] = [a + b for a, b in zip(mine, sums, strict=True)]

    def found(self) -> Iterator[Found]:
        """Yield nothing: no row is at fault."""
        yield from ()

    def about(self, file: int) -> Mapping[str, Any] | None:
        """Return mean and spread where all answers are alike."""
        count, total, squares = self._sums.get(file, (0, 0, 0))
        if count < ROWS or total <= WORDS * count:
            return None
        mean = total / count
        spread = math.sqrt(max(0.0, squares / count - mean * mean)) / mean
        return {"mean_words": mean, "spread": spread} if spread < SPREAD else None


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for answers of one length."""
    mean, spread = hits.about["mean_words"], hits.about["spread"]
    yield from about_file(
        RULE,
        hits,
        f"all answers are of one length: {mean:.0f} words, give or take {spread:.0%}".replace(
            "%", " %"
        ),
        help="add rows that are answered shortly, and rows that need more",
        **hits.about,
    )


RULE = Rule("FT554", "uniform-length", Severity.INFO, find)
