"""Prompts that nearly all begin alike, or answers that are few.

What it finds
    Half and more of the prompts begin with the same five words, or the answers of 100 rows and
    more, longer than three words, are fewer than a fifth of the rows.

Why it matters
    The model learns one way of asking, and is lost with another. Where a task has one fixed
    prompt by design, that is as it should be.

Evidence it needs
    100 rows.

Example
    ```
    what is the capital of ... (700 of 1,000 rows)
    ```

What to do
    Write the prompts in several ways.

References
    Wang et al., Self-Instruct (2023): new instructions are kept where they differ from all
    before.
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

ROWS, OPENING, SHARE, FEW = 100, 5, 0.5, 0.2
HELD = 50_000  # openings and answers that are told apart; later ones are other


class Diversity:
    """Counts how prompts begin, and how many answers differ."""

    def __init__(self, asked: Asked) -> None:
        self._openings: dict[int, Counter[str]] = {}
        self._answers: dict[int, set[int]] = {}
        self._rows: dict[int, int] = {}
        self._long: dict[int, int] = {}

    def see(self, file: int, example: Example) -> None:
        """Count a row's opening, and its answer."""
        self._rows[file] = self._rows.get(file, 0) + 1
        opening = " ".join(example.prompt[:120].lower().split(None, OPENING)[:OPENING])
        openings = self._openings.setdefault(file, Counter())
        if opening and (opening in openings or len(openings) < HELD):
            openings[opening] = openings.get(opening, 0) + 1
        if example.spaces >= 3 and example.keys is not None:
            self._long[file] = self._long.get(file, 0) + 1
            answers = self._answers.setdefault(file, set())
            if len(answers) < HELD:
                answers.add(example.keys.answer)

    def take(self, later: Diversity) -> None:
        """Add what another counted, the openings and answers that are held among them."""
        for mine, other in ((self._rows, later._rows), (self._long, later._long)):
            for file, rows in other.items():
                mine[file] = mine.get(file, 0) + rows
        for file, counts in later._openings.items():
            openings = self._openings.setdefault(file, Counter())
            for opening, count in counts.items():
                if opening in openings or len(openings) < HELD:
                    openings[opening] += count
        for file, keys in later._answers.items():
            answers = self._answers.setdefault(file, set())
            if len(answers) < HELD:
                answers |= keys

    def found(self) -> Iterator[Found]:
        """Yield nothing: no row is at fault."""
        yield from ()

    def about(self, file: int) -> Mapping[str, Any] | None:
        """Return the most common opening, or how few answers there are."""
        rows = self._rows.get(file, 0)
        if rows < ROWS:
            return None
        openings = self._openings[file]
        opening, count = openings.most_common(1)[0] if openings else ("", 0)
        if count >= SHARE * rows:
            return {"opening": opening, "share": count / rows, "openings": len(openings)}
        answers, long = len(self._answers.get(file, ())), self._long.get(file, 0)
        if long >= ROWS and answers < min(HELD, FEW * long):
            return {"answers": answers, "of": long}
        return None


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for prompts or answers that are alike."""
    about = hits.about
    if "opening" in about:
        share = f"{about['share']:.0%}".replace("%", " %")
        title = f"{share} of the prompts begin with the same {OPENING} words"
    else:
        title = f"{about['of']:,} rows have {about['answers']:,} answers between them"
    yield from about_file(
        RULE,
        hits,
        title,
        found="the words are in the evidence" if "opening" in about else "",
        help="write prompts and answers in several ways, unless the task has one by design",
        **about,
    )


RULE = Rule("FT553", "low-diversity", Severity.INFO, find)
