"""A key that is not a word.

What it finds
    A key that YAML reads as a number, as true or false, as nothing, or as a list.

Why it matters
    Every key of a spec is a word.

Evidence it needs
    The text of the spec.

Example
    ```yaml
    1: gpt2
    ```

What to do
    Write the key's name.

References
    CONTRACT: keys of a spec.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(subject: tuple[str, int, int]) -> Iterator[Finding]:
    """Yield the finding."""
    written, start, end = subject
    yield RULE.finding(
        f"`{written.strip()[:40]}` cannot be a key",
        span=(start, end),
        found="not a word",
        help="every key of a spec is a word, such as `model`",
    )


RULE = Rule("FT012", "key-not-text", Severity.ERROR, find)
