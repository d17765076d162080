"""A spec too large to be one.

What it finds
    A file beyond a fixed size.

Why it matters
    A spec is a page of text; a data file was probably named by mistake.

Evidence it needs
    The length of the text.

Example
    `ftspec check train.jsonl`

What to do
    Name the spec, and let its `data.train` name the data file.

References
    The limit is `MAX_CHARACTERS` in `spec/reader.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(subject: tuple[int, int]) -> Iterator[Finding]:
    """Yield the finding."""
    length, limit = subject
    if length > limit:
        yield RULE.finding(
            f"the file has {length:,} characters; a spec has at most {limit:,}",
            span=(0, 0),
            found="not read",
            help="name the spec here, and the data file under `data.train`",
            evidence={"characters": length, "limit": limit},
        )


RULE = Rule("FT010", "too-large", Severity.ERROR, find)
