"""A spec that is a list or a single value.

What it finds
    A document whose outermost value is not a set of `key: value` pairs.

Why it matters
    A spec is a set of keys; a data file was probably named by mistake.

Evidence it needs
    The document.

Example
    ```yaml
    - model: gpt2
    ```

What to do
    Write keys at the left margin, without a leading dash.

References
    CONTRACT: keys of a spec.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule
from ftspec.spec.tree import Node, Sequence


def find(root: Node) -> Iterator[Finding]:
    """Yield the finding."""
    what = "a list" if isinstance(root, Sequence) else "a single value"
    yield RULE.finding(
        f"the spec is {what}, not a set of keys",
        span=(root.span.start, min(root.span.end, root.span.start + 1)),
        found=what,
        help="write `key: value` lines at the left margin",
    )


RULE = Rule("FT006", "not-a-mapping", Severity.ERROR, find)
