"""Data that cannot be used.

What it finds
    Files that are missing, empty or broken, columns of no known format, files of several kinds.

Why it matters
    The run would stop at its first row, or train on something else than was meant.

Evidence it needs
    The files that `data.train` and `data.eval` name.

Example
    ```yaml
    data: trian.jsonl
    ```

What to do
    Mend what the title names. A path is relative to the spec's folder; columns of other names
    are given under `data.columns`.

References
    CONTRACT: keys of a spec.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(subject: tuple[str, str]) -> Iterator[Finding]:
    """Yield the finding."""
    key, message = subject
    help = "paths are relative to the spec's folder; --data FILE names other data"
    if "has no column" in message or "of no known format" in message:
        help = (
            "name the columns, for example\n"
            "data: {train: …, format: alpaca, columns: {instruction: question, output: answer}}"
        )
    yield RULE.finding(message, route=("data", key), found="cannot be used", help=help)


RULE = Rule("FT161", "data-unreadable", Severity.ERROR, find)
