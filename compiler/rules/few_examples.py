"""Fewer rows than fine-tuning is worth.

What it finds
    Training data of fewer than 100 rows.

Why it matters
    So few rows are learnt by heart before they teach anything that holds elsewhere. Put into a
    prompt they often do as well, at no cost of training.

Evidence it needs
    The number of rows.

Example
    A file of 40 questions and answers.

What to do
    Try few-shot prompting first: the best five to twenty rows in the prompt. If that is not enough,
    collect more: 100 good rows are a beginning, 500 excellent ones beat 5,000 poor ones.

References
    The guide: when to fine-tune, and when not to.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

ENOUGH = 100


def find(rows: int | None) -> Iterator[Finding]:
    """Yield the finding."""
    if rows is None or rows >= ENOUGH:
        return
    yield RULE.finding(
        f"{rows} rows are few: try few-shot prompting first"
        if rows != 1
        else "one row is too few: try few-shot prompting first",
        route=("data", "train"),
        found=f"fine-tuning is worth it from about {ENOUGH} good rows on",
        help="put the best of them into the prompt; or collect more: 500 excellent rows beat 5,000 "
        "poor ones",
        evidence={"rows": rows},
    )


RULE = Rule("FT301", "few-examples", Severity.INFO, find)
