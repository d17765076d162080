"""Fewer rows than fine-tuning pays for.

What it finds
    Fewer than 100 rows that can be used; none at all is an error.

Why it matters
    Behaviour is learnt from some hundred good examples; a few dozen are better put into the
    prompt. 500 excellent rows beat 5,000 poor ones.

Evidence it needs
    All rows of all files that are checked together.

Example
    ```
    rows.jsonl: 40 rows
    ```

What to do
    Write more rows, or put the best of them into the prompt first: `ftspec explain
    when-to-fine-tune`.

References
    Zhou et al., LIMA (2023): 1,000 chosen rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ftspec.doctor.data.example import Example
from ftspec.doctor.data.hits import Found, Hits, about_file
from ftspec.doctor.data.rule import Asked
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

FEW = 100


class Rows:
    """Counts the rows that can be used."""

    def __init__(self, asked: Asked) -> None:
        self._rows: dict[int, int] = {}

    def see(self, file: int, example: Example) -> None:
        """Count a row."""
        self._rows[file] = self._rows.get(file, 0) + 1

    def take(self, later: Rows) -> None:
        """Add what another counted."""
        for file, rows in later._rows.items():
            self._rows[file] = self._rows.get(file, 0) + rows

    def found(self) -> Iterator[Found]:
        """Yield nothing: no row is at fault."""
        yield from ()

    def about(self, file: int) -> Mapping[str, Any] | None:
        """Return the rows of all files together, for the first one."""
        rows = sum(self._rows.values())
        first = file == min(self._rows, default=0)
        return {"usable_rows": rows, "least": FEW} if first and rows < FEW else None


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for few rows."""
    rows = hits.about["usable_rows"]
    if not rows:
        yield from about_file(
            RULE,
            hits,
            "no row can be used",
            help="name a file with rows, or mend them",
            severity=Severity.ERROR,
            **hits.about,
        )
        return
    yield from about_file(
        RULE,
        hits,
        f"{rows:,} row{'s' if rows != 1 else ''} can be used: fewer than {FEW}",
        help="ftspec explain when-to-fine-tune",
        **hits.about,
    )


RULE = Rule("FT552", "few-rows", Severity.INFO, find)
