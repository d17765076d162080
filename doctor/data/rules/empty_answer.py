"""Rows without an answer.

What it finds
    Rows of a format with answers whose last answer is empty, only spaces, or null.

Why it matters
    The model learns to end at once. With `train_on_prompt: false` the row has nothing to learn
    but the end token.

Evidence it needs
    One row.

Example
    ```
    {"instruction": "Sum up.", "output": ""}
    ```

What to do
    Write the answer, or remove the row. `ftspec data clean` sets it aside.

References
    AlpacaDataCleaned, README (empty outputs).
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.doctor.data.example import Example
from ftspec.doctor.data.hits import Hit, Hits, told
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def look(example: Example) -> Hit | None:
    """Return a row whose answer is empty."""
    if not example.answers or example.answers[-1].strip():
        return None
    return Hit("the answer is empty", example.prompt)


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for empty answers."""
    yield from told(
        RULE,
        hits,
        "{rows} {have} an empty answer",
        help="write the answer; `ftspec data clean` sets the rows aside",
    )


RULE = Rule("FT541", "empty-answer", Severity.WARNING, find)
