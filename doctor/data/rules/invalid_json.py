"""Rows that cannot be read.

What it finds
    Lines that are not JSON, broken entries of an array, table rows with too many or too few
    fields, bytes that are not UTF-8, a file that ends inside a row. Every broken row is found,
    with its line and column; reading goes on after it.

Why it matters
    Loaders stop at the first such row, or leave it out in silence; a file that ends inside a
    row was cut on its way.

Evidence it needs
    One row.

Example
    ```
    {"instruction": "Sum up.", "output": "It is about bees."
    {"instruction": "Translate "bee".", "output": "abeille"}
    ```

What to do
    Mend the line. `ftspec data clean` sets it aside as it stands.

References
    RFC 8259; jsonlines.org.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.doctor.data.example import Example
from ftspec.doctor.data.hits import Hit, Hits, told
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def look(example: Example) -> Hit | None:
    """Return the fault of a row that was not read."""
    record = example.record
    if record.fault is None:
        return None
    fault = record.fault
    return Hit(fault.text, record.raw, line=fault.line, column=fault.column)


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for rows that cannot be read."""
    yield from told(
        RULE,
        hits,
        "{rows} cannot be read",
        help="mend the lines; `ftspec data clean` sets them aside",
        places=[{"row": row, "line": line, "column": at} for row, line, at in hits.places],
    )


RULE = Rule("FT501", "invalid-json", Severity.ERROR, find)
