"""Texts with payment card numbers.

What it finds
    14 to 19 digits, also in groups of a card's kind, that begin as a card network's numbers do,
    have that network's length, and pass the Luhn check.

Why it matters
    A model repeats what it was trained on, private data among it, to whoever asks; what is rare
    and repeated comes back word for word.

Evidence it needs
    One row.

Example
    ```
    "my card is 4111 1111 1111 1111"
    ```

What to do
    Remove it, or put a made-up one in its place. `ftspec data clean --fix pii-card` puts a word
    in its place. Samples in reports are masked.

References
    Carlini et al., Extracting Training Data from Large Language Models (2021). ISO/IEC 7812
    (Luhn).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ftspec.doctor.data.example import Example
from ftspec.doctor.data.hits import Hit, Hits, told
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

# As one run, or in the groups that are printed on cards; other numbers may stand beside them.
_NUMBER = re.compile(
    r"(?<![\w.\-+])(?:\d{4}([ \-])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|\d{4}([ \-])\d{6}\2\d{4,5}"
    r"|\d{14,19})(?![\w\-]|\.\d)"
)
# network -> how its numbers begin, and how long they are
_NETWORKS = re.compile(
    r"4\d{15}"  # Visa, whose older lengths are left to sums and counters
    r"|(?:5[1-5]|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d+"  # Mastercard, 16
    r"|3[47]\d{13}"  # American Express
    r"|(?:6011|64[4-9]|65)\d+|35(?:2[89]|[3-8])\d+|62\d+|3(?:0[0-5]|[68])\d+"
)
_SIXTEEN = re.compile(r"[256]|35")


def spans(text: str) -> list[tuple[int, int]]:
    """Return where card numbers stand."""
    return [match.span() for match in _NUMBER.finditer(text) if _is_card(match[0])]


def _is_card(text: str) -> bool:
    digits = text.replace(" ", "").replace("-", "")
    if not _NETWORKS.fullmatch(digits) or len(set(digits)) < 2:
        return False
    if _SIXTEEN.match(digits) and len(digits) != 16 and not digits.startswith("62"):
        return False
    return luhn(digits)


def luhn(digits: str) -> bool:
    """Say whether a number's last digit is its check digit (ISO/IEC 7812, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def look(example: Example) -> Hit | None:
    """Return what a row holds of it."""
    if example.cluster < 14:
        return None
    found = spans(example.text)
    if not found:
        return None
    start = found[0][0]
    return Hit("holds a card number", example.text, start)


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for payment card numbers."""
    yield from told(
        RULE,
        hits,
        "{rows} hold{s} payment card numbers",
        help="`ftspec data clean --fix pii-card` puts a word in their place",
        confidence=0.95,
    )


RULE = Rule("FT533", "pii-card", Severity.WARNING, find)
