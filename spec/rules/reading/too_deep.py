"""Nesting deeper than any spec needs.

What it finds
    Lists or sections nested beyond a fixed depth.

Why it matters
    A spec is three levels deep. Deep nesting is a mistake, or an attempt to exhaust the reader.

Evidence it needs
    The text of the spec.

Example
    A line of a thousand opening brackets.

What to do
    Look for an opening bracket that is never closed.

References
    The limit is `MAX_DEPTH` in `spec/reader.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(subject: tuple[int, int]) -> Iterator[Finding]:
    """Yield the finding."""
    at, limit = subject
    yield RULE.finding(
        f"the spec is nested more than {limit} levels deep",
        span=(at, at + 1),
        found=f"level {limit + 1} opens here",
        help="a spec is three levels deep: look for a bracket that is not closed",
        evidence={"limit": limit},
    )


RULE = Rule("FT007", "too-deep", Severity.ERROR, find)
