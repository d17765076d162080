"""Texts with telephone numbers.

What it finds
    International numbers (+ and a country's code, 8 to 15 digits), North American ones with
    separators and a valid area and exchange, French and British mobile ones in their usual
    grouping. Bare runs of digits are none.

Why it matters
    A model repeats what it was trained on, private data among it, to whoever asks; what is rare
    and repeated comes back word for word.

Evidence it needs
    One row.

Example
    ```
    "call me at +44 7700 900123 or (415) 555-0132"
    ```

What to do
    Remove it, or put a made-up one in its place. `ftspec data clean --fix pii-phone` puts a
    word in its place. Samples in reports are masked.

References
    Carlini et al., Extracting Training Data from Large Language Models (2021). ITU-T E.164;
    North American Numbering Plan.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ftspec.doctor.data.example import Example
from ftspec.doctor.data.hits import Hit, Hits, told
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

_NUMBERS = (
    # + country, then groups: 8 to 15 digits in all, counted below
    re.compile(r"(?<![\w+.=])\+[1-9]\d{0,2}(?:[ .\-]?\(?\d{1,5}\)?){2,6}(?![\w+])"),
    # (415) 555-0132, 415-555-0132, 1-415-555-0132, 415.555.0132
    re.compile(
        r"(?<![\w.+\-/$(])(?:1[ .\-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}([.\-]))[2-9]\d{2}[ .\-]\d{4}"
        r"(?![\w\-]|\.\d)"
    ),
    re.compile(r"(?<![\w.+\-])0[1-79](?:[ .]\d{2}){4}(?![\w\-]|[. ]\d)"),  # France
    re.compile(r"(?<![\w.+\-])07\d{3} \d{3} ?\d{3}(?![\w\-])"),  # United Kingdom, mobile
)
LEAST, MOST = 8, 15  # digits of an international number (E.164)
_LAST = re.compile(r"[ .\-(]*\d+\)?\Z")
_MARK = re.compile(
    r"\+(?<![\w+.=]\+)[1-9]|\d{3}[ .\-)]{1,2}\d{3}[ .\-]\d{3}|0\d[ .]\d\d[ .]\d\d[ .]\d\d"
)


def spans(text: str) -> list[tuple[int, int]]:
    """Return where telephone numbers stand."""
    if not _MARK.search(text):
        return []
    found = []
    for number, pattern in enumerate(_NUMBERS):
        for match in pattern.finditer(text):
            start, end = match.span()
            if not number:  # numbers that follow may have been taken with it
                while sum(map(str.isdigit, text[start:end])) > MOST:
                    end = start + len(_LAST.sub("", text[start:end]))
            digits = sum(map(str.isdigit, text[start:end]))
            if number or (digits >= LEAST and _not_a_sum(match, text)):
                found.append((start, end))
    return _apart(found)


def _not_a_sum(match: re.Match[str], text: str) -> bool:
    """Say whether a + is no sign of an addition: 12 +345 678 901 = ..."""
    after = text[match.end() : match.end() + 3].strip()[:1]
    return after not in ("=", "*", "/") or not text[: match.start()].rstrip()[-1:].isdigit()


def _apart(found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return spans in order, without those that begin inside another."""
    apart: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if not apart or start >= apart[-1][1]:
            apart.append((start, end))
    return apart


def look(example: Example) -> Hit | None:
    """Return what a row holds of it."""
    if example.cluster < LEAST:
        return None
    found = spans(example.text)
    if not found:
        return None
    start = found[0][0]
    return Hit("holds a telephone number", example.text, start)


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for telephone numbers."""
    yield from told(
        RULE,
        hits,
        "{rows} hold{s} telephone numbers",
        help="`ftspec data clean --fix pii-phone` puts a word in their place",
        confidence=0.9,
    )


RULE = Rule("FT532", "pii-phone", Severity.WARNING, find)
