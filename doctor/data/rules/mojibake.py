"""Texts that were decoded with the wrong encoding.

What it finds
    Characters that come from reading UTF-8 as Windows-1252 or its kin, told by how unlikely
    their sequence is, and the replacement character U+FFFD that a decoder leaves. The repaired
    text is shown where there is one.

Why it matters
    The model learns to write the garbage. It is in few rows, so no sample shows it.

Evidence it needs
    One row.

Example
    ```
    the integral of xÂ² from 0 to 4     ->  the integral of x² from 0 to 4
    Janetâ€™s ducks                     ->  Janet’s ducks
    ```

What to do
    `ftspec data clean` repairs what can be repaired. U+FFFD stands for what is lost: look it up
    in the source.

References
    ftfy, `badness` (Robyn Speer), which is asked where a text has a character of such a
    sequence. bench/data: 17 of 17 rows of a known set, none of its other 5,942.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ftspec.doctor.data.example import Example
from ftspec.doctor.data.hits import Hit, Hits, told
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

# What the first byte of a UTF-8 sequence looks like in Windows-1252, Latin-1 and Mac Roman, before
# what a further byte looks like there: a text without any is not asked about.
SUSPICIOUS = re.compile(
    "[\u00c2-\u00f4\u0102\u0103\u010e\u010f\u0118\u0119\u0392-\u03c9\u0402-\u045f\u201a\u221a\u2030\u00ac\u00b5]"
    "[\u0080-\u00bf\u0152-\u0192\u02c6\u02dc\u2013-\u2122\u0402-\u045f\u0390-\u03ce\u2202-\u25ca]"
)
LOST = "\ufffd"


def look(example: Example) -> Hit | None:
    """Return the text that was decoded wrongly, with the repaired one."""
    if example.ascii or not example.whole:
        return None
    for text in example.texts:
        if not text.isascii() and SUSPICIOUS.search(text):
            repaired = repair(text)
            if repaired != text:
                return Hit(
                    "was decoded wrongly", text, _start(text, repaired), repaired, "repairable"
                )
    if LOST in example.text:
        text = example.text
        return Hit("holds U+FFFD, in place of what is lost", text, text.index(LOST), kind="lost")
    return None


def repair(text: str) -> str:
    """Return a text with wrongly decoded parts decoded rightly; others as they are."""
    if text.isascii() or not SUSPICIOUS.search(text):
        return text
    try:
        from ftfy import fix_encoding
        from ftfy.badness import is_bad
    except ImportError:
        return text  # the check says that it was not looked for

    return fix_encoding(text) if is_bad(text) else text


def _start(text: str, repaired: str) -> int:
    """Return where two texts differ first."""
    pairs = enumerate(zip(text, repaired, strict=False))
    return next((place for place, (old, new) in pairs if old != new), 0)


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for wrongly decoded texts."""
    yield from told(
        RULE,
        hits,
        "{rows} hold{s} text that was decoded wrongly",
        help="`ftspec data clean` repairs them; read the source as UTF-8",
    )


RULE = Rule("FT521", "mojibake", Severity.WARNING, find)
