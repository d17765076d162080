"""Rows that are longer than the maximum.

What it finds
    How many rows `data.max_length` cuts, and what that takes from what is learnt.

Why it matters
    What is cut off is most often the end of an answer, and with it the token that ends it.

Evidence it needs
    The rows' lengths, by the model's own tokenizer.

Example
    ```yaml
    data: {train: t.jsonl, max_length: 128}
    ```

What to do
    Raise `data.max_length`, or shorten the rows. A few per cent do no harm.

References
    trl 1.16 `trainer/sft_trainer.py`, truncation.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.compiler.facts.lengths import Lengths
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(subject: tuple[Lengths | None, int]) -> Iterator[Finding]:
    """Yield the finding."""
    lengths, limit = subject
    if lengths is None:
        return
    cut = lengths.over(limit)
    if not cut:
        return
    share = cut / lengths.of_rows
    yield RULE.finding(
        f"{cut:,} of {lengths.of_rows:,} rows are longer than {limit:,} tokens and are cut",
        route=("data", "max_length"),
        found=f"{share:.1%} of the rows; the longest has {lengths.longest:,} tokens",
        help="raise `max_length`, or shorten the rows",
        evidence={"rows": cut, "share": round(share, 4), "longest": lengths.longest},
        severity=Severity.WARNING if share > 0.05 else Severity.INFO,
    )


RULE = Rule("FT170", "rows-cut", Severity.INFO, find)
