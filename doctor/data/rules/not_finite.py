"""Numbers that JSON has no word for.

What it finds
    `NaN`, `Infinity`, and numbers too large for a 64-bit float. Python's reader accepts them,
    others refuse the file.

Why it matters
    NaN in a text column is a missing value that a table library wrote; as a text it is learnt
    as the word nan.

Evidence it needs
    One row.

Example
    ```
    {"instruction": "Sum up.", "input": NaN, "output": "It is about bees."}
    ```

What to do
    Write `""` or leave the field out. `ftspec data clean` sets such rows aside.

References
    RFC 8259, section 6.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ftspec.doctor.data.example import Example
from ftspec.doctor.data.hits import Hit, Hits, told
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def look(example: Example) -> Hit | None:
    """Return the number of a row that is not one."""
    record = example.record
    if record.odd:
        return Hit(f"holds `{record.odd}`", record.raw)
    if not record.raw and isinstance(record.value, dict):  # a table's
        for name, value in record.value.items():
            if isinstance(value, float) and not math.isfinite(value):
                return Hit(f"`{name}` is {value}")
    return None


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for numbers that are not finite."""
    yield from told(
        RULE,
        hits,
        "{rows} hold{s} a number that is no JSON",
        help='write "" or null in place of NaN',
    )


RULE = Rule("FT507", "not-finite", Severity.WARNING, find)
