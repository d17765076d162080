"""Texts with control characters.

What it finds
    C0 and C1 controls but tab, line feed and carriage return; the byte order mark inside a
    text; zero-width spaces and non-characters. Joiners are left alone: scripts and emojis need
    them.

Why it matters
    They are invisible, take tokens, and split words into pieces that the model has never seen.

Evidence it needs
    One row.

Example
    ```
    "Hello\\u0000 wor\\u200bld"
    ```

What to do
    `ftspec data clean` removes them.

References
    The Unicode Standard, 23.1 and 23.8.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ftspec.doctor.data.example import Example
from ftspec.doctor.data.hits import Hit, Hits, told
from ftspec.doctor.data.rules import mojibake
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\u200b\u2060\ufeff\ufffe\uffff]"
)
_FINE = bytes(byte for byte in range(256) if byte in (9, 10, 13, 30) or 32 <= byte != 127)


def look(example: Example) -> Hit | None:
    """Return the control characters of a row."""
    # The ASCII ones are told by a table; the byte between texts, 30, is looked at below.
    if example.ascii and not example.encoded.translate(None, _FINE):
        if example.text.count("\x1e") < len(example.texts):
            return None
    for text in example.texts:
        match = CONTROL.search(text)
        if match and match[0] >= "\x80":  # half of a character that was decoded wrongly
            match = CONTROL.search(mojibake.repair(text))
        if match:
            words = f"holds U+{ord(match[0]):04X}"
            return Hit(words, CONTROL.sub("\u2423", text), match.start(), CONTROL.sub("", text))
    return None


def repair(text: str) -> str:
    """Return a text without its control characters."""
    return CONTROL.sub("", text)


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for control characters."""
    yield from told(
        RULE,
        hits,
        "{rows} hold{s} control characters",
        help="`ftspec data clean` removes them",
    )


RULE = Rule("FT522", "control-characters", Severity.WARNING, find)
