"""A number outside the range that makes sense for its key.

What it finds
    Ranks of zero, dropouts of one, negative epochs, learning rates above one.

Why it matters
    The libraries underneath accept many of these, and then train nothing, or NaN.

Evidence it needs
    The value and the key's range.

Example
    ```yaml
    method: {type: lora, dropout: 1.5}
    ```

What to do
    Write a number in the range that is named at the caret.

References
    The ranges stand in `spec/model.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Finding, Route, Severity
from ftspec.spec.rule import Rule


def find(subject: tuple[Route, object, str]) -> Iterator[Finding]:
    """Yield the finding for a value that lies outside what is `expected`."""
    route, value, expected = subject
    key = next(step for step in reversed(route) if isinstance(step, str))
    number = f"a number {'of ' if expected.startswith('at ') else ''}{expected}"
    yield RULE.finding(
        f"`{key}` is out of range: {f'`{value}`' if value != '' else 'it is empty'}",
        route=route,
        found=f"expected {expected}",
        help=f"write {expected if expected.startswith('a ') else number}",
        evidence={"value": value, "expected": expected},
    )


RULE = Rule("FT103", "out-of-range", Severity.ERROR, find)
