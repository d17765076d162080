"""Held-out rows of another kind than those that are trained on.

What it finds
    `data.eval` with a file whose format, or whose column names, are not those of `data.train`.

Why it matters
    The scripts read both in one way: they would stop at the first held-out row, or measure
    something that was not trained.

Evidence it needs
    The columns of both files.

Example
    ```yaml
    data: {train: instruction-output.jsonl, eval: question-answer.jsonl}
    ```

What to do
    Give the held-out file the columns of the training file.

References
    CONTRACT: keys of a spec.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.compiler.facts.data import DataFacts
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(subject: tuple[DataFacts | None, DataFacts | None]) -> Iterator[Finding]:
    """Yield the finding; `subject` is what is known of the training and the held-out data."""
    train, held_out = subject
    if train is None or held_out is None or not train.format or not held_out.format:
        return
    ours, theirs = dict(train.columns or {}), dict(held_out.columns or {})
    if train.format == held_out.format and ours == theirs:
        return
    wanted = ", ".join(f"`{name}`" for name in ours.values())
    yield RULE.finding(
        f"`eval` has {held_out.format} rows with {', '.join(theirs.values())}; "
        f"`train` has {train.format} rows with {', '.join(ours.values())}",
        route=("data", "eval"),
        found="other columns than the training data",
        help=f"give its rows the columns {wanted}",
        evidence={"train": ours, "eval": theirs},
    )


RULE = Rule("FT176", "eval-differs", Severity.ERROR, find)
