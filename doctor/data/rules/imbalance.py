"""Categories of which one has nearly all rows, or one next to none.

What it finds
    Where there is a column of labels (label, category, class, intent, topic, task), or answers
    are at most three words out of at most 30: a category with nine rows in ten and more, or one
    with less than a twentieth of an even share, where there are 50 rows and more.

Why it matters
    The model learns to answer with the most common category; of the rarest it has seen too
    little to tell it.

Evidence it needs
    50 rows.

Example
    ```
    positive 940, negative 52, neutral 8
    ```

What to do
    Add rows of the rare categories, or take some of the common one out.

References
    He and Garcia, Learning from Imbalanced Data (2009).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from ftspec.doctor.data.example import Example
from ftspec.doctor.data.hits import Found, Hits, about_file
from ftspec.doctor.data.rule import Asked
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

ROWS, MOST, CATEGORIES = 50, 0.9, 30
RARE = 0.05  # of an even share
WORDS, SHORT = 3, 40  # words and characters of an answer that may be a category


class Balance:
    """Counts labels and short answers of each file."""

    def __init__(self, asked: Asked) -> None:
        self._labels: dict[int, Counter[str]] = {}
        self._answers: dict[int, Counter[str]] = {}
        self._rows: dict[int, int] = {}

    def see(self, file: int, example: Example) -> None:
        """Count a row's label and its answer, where it may be one."""
        self._rows[file] = self._rows.get(file, 0) + 1
        if example.label is not None:
            _count(self._labels.setdefault(file, Counter()), example.label)
        answer = example.answer
        if answer and len(answer) <= SHORT and len(answer.split()) <= WORDS:
            _count(self._answers.setdefault(file, Counter()), answer.strip().lower())

    def take(self, later: Balance) -> None:
        """Add what another counted."""
        for file, rows in later._rows.items():
            self._rows[file] = self._rows.get(file, 0) + rows
        for mine, other in ((self._labels, later._labels), (self._answers, later._answers)):
            for file, counts in other.items():
                for name, count in counts.items():
                    _count(mine.setdefault(file, Counter()), name, count)

    def found(self) -> Iterator[Found]:
        """Yield nothing: no row is at fault."""
        yield from ()

    def about(self, file: int) -> Mapping[str, Any] | None:
        """Return the counts of categories that are out of balance."""
        rows = self._rows.get(file, 0)
        for of, counts in (("label", self._labels), ("answer", self._answers)):
            found = counts.get(file, Counter())
            total = found.total()
            if total < ROWS or total < 0.8 * rows or not 2 <= len(found) <= CATEGORIES:
                continue
            (most, largest), (least, smallest) = found.most_common()[0], found.most_common()[-1]
            if largest >= MOST * total or smallest < RARE * total / len(found):
                counted = dict(found.most_common())
                return {"of": of, "categories": counted, "most": most, "least": least}
        return None


def _count(counts: Counter[str], name: str, times: int = 1) -> None:
    if name in counts or len(counts) <= CATEGORIES:
        counts[name] += times


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for categories out of balance."""
    counts, most, least = hits.about["categories"], hits.about["most"], hits.about["least"]
    total = sum(counts.values())
    yield from about_file(
        RULE,
        hits,
        f"`{most}` has {100 * counts[most] / total:.0f} % of the rows, `{least}` {counts[least]:,}",
        found=f"{len(counts)} categories by {hits.about['of']}, {total:,} rows",
        help="add rows of the rare categories, or take some of the common one out",
        **hits.about,
    )


RULE = Rule("FT551", "imbalance", Severity.INFO, find)
