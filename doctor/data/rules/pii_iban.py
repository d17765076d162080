"""Texts with bank account numbers (IBAN).

What it finds
    A country's letters, two check digits and the account, of that country's length, plain or in
    groups of four, that leave 1 when divided by 97.

Why it matters
    A model repeats what it was trained on, private data among it, to whoever asks; what is rare
    and repeated comes back word for word.

Evidence it needs
    One row.

Example
    ```
    "transfer it to DE89 3704 0044 0532 0130 00"
    ```

What to do
    Remove it, or put a made-up one in its place. `ftspec data clean --fix pii-iban` puts a word
    in its place. Samples in reports are masked.

References
    Carlini et al., Extracting Training Data from Large Language Models (2021). ISO 13616 (MOD
    97-10); lengths of the SWIFT IBAN registry.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ftspec.doctor.data.example import Example
from ftspec.doctor.data.hits import Hit, Hits, told
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

_IBAN = re.compile(
    r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}"
    r"(?:[A-Z0-9]{11,30}|(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,4})?)(?![A-Za-z0-9])"
)
_LENGTHS = dict(
    pair.split(":")
    for pair in (
        "AD:24 AE:23 AL:28 AT:20 AZ:28 BA:20 BE:16 BG:22 BH:22 BR:29 BY:28 CH:21 CR:22 CY:28 CZ:24"
        " DE:22 DK:18 DO:28 EE:20 EG:29 ES:24 FI:18 FO:18 FR:27 GB:22 GE:22 GI:23 GL:18 GR:27 GT:28"
        " HR:21 HU:28 IE:22 IL:23 IQ:23 IS:26 IT:27 JO:30 KW:30 KZ:20 LB:28 LC:32 LI:21 LT:20 LU:20"
        " LV:21 LY:25 MC:27 MD:24 ME:22 MK:19 MR:27 MT:31 MU:30 NL:18 NO:15 PK:24 PL:28 PS:29 PT:25"
        " QA:29 RO:24 RS:22 SA:24 SC:31 SE:24 SI:19 SK:24 SM:27 ST:25 SV:28 TL:23 TN:24 TR:26 UA:29"
        " VA:22 VG:24 XK:20"
    ).split()
)


def spans(text: str) -> list[tuple[int, int]]:
    """Return where account numbers stand."""
    found = []
    for match in _IBAN.finditer(text):
        words = match[0].split(" ")
        # Capitals after the number may have been taken with it: cut to the country's length.
        length = int(_LENGTHS.get(match[0][:2], 0))
        taken = ""
        for count, word in enumerate(words, 1):
            taken += word
            if len(taken) == length and _checks(taken):
                found.append((match.start(), match.start() + len(" ".join(words[:count]))))
                break
    return found


def _checks(iban: str) -> bool:
    moved = iban[4:] + iban[:4]
    return int("".join(str(int(ch, 36)) for ch in moved)) % 97 == 1


def look(example: Example) -> Hit | None:
    """Return what a row holds of it."""
    if example.cluster < 7 or example.digits < 10:
        return None
    found = spans(example.text)
    if not found:
        return None
    start = found[0][0]
    return Hit("holds an IBAN", example.text, start)


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for bank account numbers (IBAN)."""
    yield from told(
        RULE,
        hits,
        "{rows} hold{s} bank account numbers (IBAN)",
        help="`ftspec data clean --fix pii-iban` puts a word in their place",
        confidence=0.95,
    )


RULE = Rule("FT534", "pii-iban", Severity.WARNING, find)
