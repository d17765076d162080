"""An alias without its anchor.

What it finds
    `*name` where no `&name` stands before it.

Why it matters
    A value that starts with an asterisk is read as an alias.

Evidence it needs
    The text of the spec.

Example
    ```yaml
    data: *.jsonl
    ```

What to do
    Quote the value if it is meant as text, as in `"*.jsonl"`.

References
    YAML 1.2.2, 7.1 (alias nodes).
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(subject: tuple[str, int, int]) -> Iterator[Finding]:
    """Yield the finding."""
    name, start, end = subject
    yield RULE.finding(
        f"no anchor `&{name}` stands before this",
        span=(start, end),
        found="an alias",
        help=f'quote it if it is meant as text: "*{name}"',
    )


RULE = Rule("FT013", "unknown-anchor", Severity.ERROR, find)
