"""Keys that are read, and that this version does not act on yet.

What it finds
    `offload` in `tune.allow`.

Why it matters
    A key that is accepted in silence is taken for a promise.

Evidence it needs
    The spec.

Example
    ```yaml
    tune: {allow: [offload]}
    ```

What to do
    Nothing: the key stays valid. Nothing is moved off the card.

References
    CHANGELOG.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.compiler.draft import Draft
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

LATER = ("offload",)


def find(draft: Draft) -> Iterator[Finding]:
    """Yield one finding a key."""
    said = [(("tune", "allow"), f"`{leave}`") for leave in draft.spec.tune.allow if leave in LATER]
    for route, what in said:
        yield RULE.finding(
            f"{what} is not acted on by this version",
            route=route,
            at_key=True,
            found="read, and left at that",
            help="it does no harm; remove it to silence this",
        )


RULE = Rule("FT178", "not-acted-on", Severity.INFO, find)
