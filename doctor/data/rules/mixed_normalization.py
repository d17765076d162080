"""Texts that write the same character in two ways.

What it finds
    Letters followed by a combining mark where the composed letter exists (NFD), in a file whose
    other texts are composed (NFC). Found are rows whose text changes when it is composed;
    composition exclusions and compatibility characters are left alone.

Why it matters
    é in one code point and é in two are different tokens: words are learnt twice, and
    duplicates are not seen.

Evidence it needs
    One row.

Example
    ```
    "cafe\\u0301" beside "caf\\u00e9"
    ```

What to do
    `ftspec data clean` composes them (NFC).

References
    Unicode Standard Annex 15, Normalization Forms.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from ftspec.doctor.data.example import Example
from ftspec.doctor.data.hits import Hit, Hits, told
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

_COMBINING = re.compile(
    "[A-Za-z\u00c0-\u024f\u0370-\u03ff\u0400-\u04ff\u3040-\u30ff]"
    "[\u0300-\u0345\u3099\u309a]|[\u1100-\u1112][\u1161-\u1175]"
)


def look(example: Example) -> Hit | None:
    """Return a text that is not composed."""
    if not example.whole or unicodedata.is_normalized("NFC", example.text):
        return None
    for text in example.texts:
        match = _COMBINING.search(text)
        if match and repair(text) != text:
            words = "writes a letter and its mark apart"
            return Hit(words, text, match.start(), repair(text))
    return None


def repair(text: str) -> str:
    """Return a text with letters and their marks composed, and nothing else changed."""
    if text.isascii():
        return text
    return _COMBINING.sub(lambda match: unicodedata.normalize("NFC", match[0]), text)


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for texts that are not composed."""
    yield from told(
        RULE,
        hits,
        "{rows} write{s} letters and their marks apart",
        help="`ftspec data clean` composes them (NFC)",
    )


RULE = Rule("FT523", "mixed-normalization", Severity.WARNING, find)
