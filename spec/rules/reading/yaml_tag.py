"""A tag, such as `!!python/object`.

What it finds
    Any YAML tag.

Why it matters
    Tags can make a careless reader run code. A spec has no use for them.

Evidence it needs
    The text of the spec.

Example
    ```yaml
    model: !!python/name:os.system gpt2
    ```

What to do
    Write the value without the tag; quote it where it has to be text.

References
    YAML 1.2.2, 6.8.2 (tag directives).
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(subject: tuple[str, int, int]) -> Iterator[Finding]:
    """Yield the finding."""
    tag, start, end = subject
    yield RULE.finding(
        f"the tag `{tag}` is not allowed",
        span=(start, end),
        found="a tagged value",
        help="write the value without the tag; quote it where it has to be text",
        evidence={"tag": tag},
    )


RULE = Rule("FT011", "yaml-tag", Severity.ERROR, find)
