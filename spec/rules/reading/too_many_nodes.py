"""Anchors that expand into a flood of values.

What it finds
    A document that holds too many values once its aliases (`*name`) are expanded.

Why it matters
    A few lines of nested aliases can expand into billions of values.

Evidence it needs
    The text of the spec.

Example
    ```yaml
    a: &a [x, x]
    b: &b [*a, *a]
    c: [*b, *b]
    ```

What to do
    Write the values out; a spec has no use for so many.

References
    The limit is `MAX_NODES` in `spec/reader.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(subject: tuple[int, int, int]) -> Iterator[Finding]:
    """Yield the finding."""
    start, end, limit = subject
    yield RULE.finding(
        f"the spec expands to more than {limit:,} values",
        span=(start, end),
        found="the limit is passed here",
        help="write the values out instead of using anchors and aliases",
        evidence={"limit": limit},
    )


RULE = Rule("FT008", "too-many-nodes", Severity.ERROR, find)
