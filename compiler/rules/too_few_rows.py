"""Too few rows to train on what is left.

What it finds
    Data of one row with a share held out, or a share that leaves nothing to train on.

Why it matters
    A training set of no rows cannot be trained on.

Evidence it needs
    The number of rows.

Example
    ```yaml
    data: {train: one-row.jsonl, eval: 50%}
    ```

What to do
    Bring more rows, or write `eval: none`.

References
    The guide: fewer than 100 rows: few-shot prompting first.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(subject: tuple[int, int]) -> Iterator[Finding]:
    """Yield the finding."""
    rows, held = subject
    if rows - held < 1:
        yield RULE.finding(
            f"{held} of {rows} rows are held out: none is left to train on",
            route=("data", "eval"),
            found=f"{rows} in all",
            help="bring more rows, or write `eval: none`",
            evidence={"rows": rows, "held_out": held},
        )


RULE = Rule("FT171", "too-few-rows", Severity.ERROR, find)
