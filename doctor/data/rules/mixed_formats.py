"""A file whose rows are of several formats.

What it finds
    Rows whose own keys are of another format than those of most rows at the head of the file.

Why it matters
    A loader reads the columns of the first rows; those of another format become empty or are
    dropped.

Evidence it needs
    The keys of the first 200 rows.

Example
    ```
    {"instruction": "Sum up.", "output": "It is about bees."}
    {"messages": [{"role": "user", "content": "Sum up."}, ...]}
    ```

What to do
    Split the file by format, or convert the rows to one.

References
    The formats: `data.format` of the spec.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.doctor.data.hits import Hits, told
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for rows of another format."""
    yield from told(
        RULE,
        hits,
        "{rows} {are} of another format than the rest",
        help="split the file by format, or convert the rows to one",
    )


RULE = Rule("FT509", "mixed-formats", Severity.WARNING, find)
