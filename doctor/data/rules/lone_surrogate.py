"""Texts with half a character.

What it finds
    An escape from \\ud800 to \\udfff that is not one of a pair. A text was cut inside a
    character, mostly an emoji.

Why it matters
    The tokenizers library refuses such a text: training ends with an exception when the row is
    reached.

Evidence it needs
    One row.

Example
    ```
    {"output": "Well done \\ud83d"}
    ```

What to do
    Remove the half. `ftspec data clean` sets such rows aside.

References
    The Unicode Standard, 3.8 (surrogates).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ftspec.doctor.data.example import Example
from ftspec.doctor.data.hits import Hit, Hits, told
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

_HALF = re.compile(r"[\ud800-\udfff]")


def look(example: Example) -> Hit | None:
    """Return the place of half a character."""
    if example.whole:
        return None
    match = _HALF.search(example.text)
    assert match is not None
    return Hit(f"holds U+{ord(match[0]):04X} alone", example.text, match.start())


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for lone surrogates."""
    yield from told(
        RULE,
        hits,
        "{rows} hold{s} half a character",
        help="remove the half: the tokenizer refuses the text",
    )


RULE = Rule("FT508", "lone-surrogate", Severity.ERROR, find)
