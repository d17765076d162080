"""Texts with national identity numbers.

What it finds
    Numbers of persons in the form that their country prints, with a true check digit where
    there is one: Brazil (CPF), Canada (SIN), China, Finland, France (NIR), India (Aadhaar),
    Italy (codice fiscale), Poland (PESEL), Spain (DNI, NIE), Sweden, the United States (SSN, in
    its printed form and allotted ranges). Bare digits with a weak check (PESEL, Germany's tax
    number, the Dutch BSN) need their name near by.

Why it matters
    A model repeats what it was trained on, private data among it, to whoever asks; what is rare
    and repeated comes back word for word.

Evidence it needs
    One row.

Example
    ```
    "my DNI is 12345678Z"
    ```

What to do
    Remove it, or put a made-up one in its place. `ftspec data clean --fix pii-national-id` puts
    a word in its place. Samples in reports are masked.

References
    Carlini et al., Extracting Training Data from Large Language Models (2021). The issuing
    offices' own check-digit rules; Verhoeff (1969) for Aadhaar.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ftspec.doctor.data.example import Example, holds
from ftspec.doctor.data.hits import Hit, Hits, told
from ftspec.doctor.data.national import ANY, FORMS, ITALY, KINDS, Kind
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

NEAR = 60  # characters in which a number's name is looked for


def spans(text: str) -> list[tuple[int, int]]:
    """Return where identity numbers stand."""
    return [span for span, _ in _found(text)]


def kind_of(number: str, text: str) -> str:
    """Return the name of a number that was found in a text."""
    found = [kind.name for span, kind in _found(text) if text[slice(*span)] == number]
    return found[0] if found else ""


def _found(text: str) -> list[tuple[tuple[int, int], Kind]]:
    found: list[tuple[tuple[int, int], Kind]] = []
    if not ANY.search(text):
        return found
    for kind in KINDS:
        for match in kind.pattern.finditer(text):
            if kind.near is not None:
                around = text[max(0, match.start() - NEAR) : match.end() + NEAR]
                if not re.search(kind.near, around, re.IGNORECASE):
                    continue
            taken = any(start < match.end() and match.start() < end for (start, end), _ in found)
            if not taken and kind.checks(match[0]):
                found.append((match.span(), kind))
    return sorted(found, key=lambda item: item[0])


def look(example: Example) -> Hit | None:
    """Return what a row holds of it."""
    if ITALY not in example.forms and (example.cluster < 7 or not holds(example.forms, FORMS)):
        return None
    found = spans(example.text)
    if not found:
        return None
    start, end = found[0]
    return Hit(
        f"holds a number of the kind: {kind_of(example.text[start:end], example.text)}",
        example.text[max(0, start - 40) : end + 40],
    )


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for national identity numbers."""
    yield from told(
        RULE,
        hits,
        "{rows} hold{s} national identity numbers",
        help="`ftspec data clean --fix pii-national-id` puts a word in their place",
        confidence=0.95,
    )


RULE = Rule("FT535", "pii-national-id", Severity.WARNING, find)
