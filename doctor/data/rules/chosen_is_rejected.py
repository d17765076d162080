"""Preference pairs whose two answers are the same.

What it finds
    Rows whose chosen and rejected texts are equal, character for character.

Why it matters
    The loss of such a pair is a constant, log 2 for DPO; it takes its place in the batch and
    teaches nothing.

Evidence it needs
    One row.

Example
    ```
    {"prompt": "2 + 2?", "chosen": "4", "rejected": "4"}
    ```

What to do
    Remove the row. `ftspec data clean` sets it aside.

References
    Rafailov et al., Direct Preference Optimization (2023), equation 7.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.doctor.data.hits import Hits, told
from ftspec.doctor.data.rules.flaws import flaw
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for preference pairs whose two answers are the same."""
    yield from told(
        RULE,
        hits,
        "{rows} hold{s} the same answer as chosen and as rejected",
        help="remove the row: it prefers nothing",
    )


RULE = Rule("FT515", "chosen-is-rejected", Severity.WARNING, find)
look = flaw("chosen-is-rejected")
