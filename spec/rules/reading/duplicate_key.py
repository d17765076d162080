"""A key that stands twice in one section.

What it finds
    The second and every further appearance of a key in the same mapping.

Why it matters
    YAML parsers keep one of the two in silence, and often not the one the author looks at.

Evidence it needs
    The text of the spec.

Example
    ```yaml
    train:
      epochs: 3
      epochs: 1
    ```

What to do
    Delete one of them.

References
    YAML 1.2.2, 3.2.1.1 (keys of a mapping are unique).
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule
from ftspec.spec.tree import Span


def find(subject: tuple[str, Span, Span, str]) -> Iterator[Finding]:
    """Yield the finding."""
    key, span, first, text = subject
    line = text.count("\n", 0, first.start) + 1
    yield RULE.finding(
        f"`{key}` stands twice",
        span=(span.start, span.end),
        found=f"first on line {line}",
        help="delete one of the two",
        evidence={"key": key, "first_line": line},
    )


RULE = Rule("FT004", "duplicate-key", Severity.ERROR, find)
