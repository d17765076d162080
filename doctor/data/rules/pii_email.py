"""Texts with e-mail addresses.

What it finds
    Addresses with a domain and a top-level domain of letters. Rows whose addresses are all in
    domains that are reserved for examples (example.com, .test, .invalid) are counted apart, and
    are only information.

Why it matters
    A model repeats what it was trained on, private data among it, to whoever asks; what is rare
    and repeated comes back word for word.

Evidence it needs
    One row.

Example
    ```
    "write to jane.roe@mail.example"
    ```

What to do
    Remove it, or put a made-up one in its place. `ftspec data clean --fix pii-email` puts a
    word in its place. Samples in reports are masked.

References
    Carlini et al., Extracting Training Data from Large Language Models (2021). RFC 5322; RFC
    2606 (reserved domains).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ftspec.doctor.data.example import Example
from ftspec.doctor.data.hits import Hit, Hits, told
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

_ADDRESS = re.compile(
    r"(?<![A-Za-z0-9._%+\-@/])[A-Za-z0-9][A-Za-z0-9._%+\-]{0,63}@"
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24}(?![A-Za-z0-9@(])"
)
_RESERVED = re.compile(
    r"@(?:.*\.)?(?:example(?:\.(?:com|org|net|edu))?|test|invalid|localhost)$", re.I
)
# What looks like a top-level domain and is a file or code: @ stands in decorators and versions.
_NO_DOMAIN = re.compile(
    r"\.(?:py|js|ts|json|png|jpe?g|gif|svg|css|html?|md|txt|yaml|java|cpp)$", re.I
)


def spans(text: str) -> list[tuple[int, int]]:
    """Return where addresses stand."""
    if "@" not in text:
        return []
    return [m.span() for m in _ADDRESS.finditer(text) if not _NO_DOMAIN.search(m[0])]


def look(example: Example) -> Hit | None:
    """Return what a row holds of it."""
    if b"@" not in example.encoded:
        return None
    found = spans(example.text)
    if not found:
        return None
    real = [(a, b) for a, b in found if not _RESERVED.search(example.text[a:b])]
    start = (real or found)[0][0]
    if real:
        return Hit("holds an e-mail address", example.text, start, kind="real")
    words = "holds an address of a reserved domain"
    return Hit(words, example.text, start, kind="reserved", mild=True)


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for e-mail addresses."""
    yield from told(
        RULE,
        hits,
        "{rows} hold{s} e-mail addresses",
        help="`ftspec data clean --fix pii-email` puts a word in their place",
        confidence=0.95,
    )


RULE = Rule("FT531", "pii-email", Severity.WARNING, find)
