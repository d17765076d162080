"""Texts with public IP addresses.

What it finds
    IPv4 addresses of four parts and whole IPv6 addresses that are routed on the internet.
    Private, loopback, documentation and reserved ranges, and well-known resolvers are none; nor
    are versions (`v1.2.3.4`, `version 1.2.3.4`).

Why it matters
    A model repeats what it was trained on, private data among it, to whoever asks; what is rare
    and repeated comes back word for word. An address names a household.

Evidence it needs
    One row.

Example
    ```
    "connect to 93.184.216.34"
    ```

What to do
    Remove it, or put a made-up one in its place. `ftspec data clean --fix pii-ip` puts a word
    in its place. Samples in reports are masked.

References
    Carlini et al., Extracting Training Data from Large Language Models (2021). IANA
    special-purpose address registries (Python's `ipaddress`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ftspec.doctor.data.example import Example
from ftspec.doctor.data.hits import Hit, Hits, told
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

# What addresses hold at least, found by the mark that it begins with.
_DOTS = re.compile(rb"\.0{1,3}\.0")
_COLONS = re.compile(rb":[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:")
_V4 = re.compile(r"(?<![\w.\-])(?:\d{1,3}\.){3}\d{1,3}(?![\w\-]|\.\d)")
_V6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:){2,7}(?::?[0-9A-Fa-f]{1,4}){1,7}(?![\w:])")
_VERSION = re.compile(r"(?:version|release|section|build|\bver?\.?|§)\s*$", re.I)
_KNOWN = {"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "1.2.3.4"}


def spans(text: str) -> list[tuple[int, int]]:
    """Return where public addresses stand."""
    found = []
    if text.count(".") >= 3:
        found = [m.span() for m in _V4.finditer(text) if _public(m, text)]
    if text.count(":") >= 4:
        found += [m.span() for m in _V6.finditer(text) if _public(m, text)]
    return sorted(found)


def _public(match: re.Match[str], text: str) -> bool:
    from ipaddress import ip_address

    before = text[max(0, match.start() - 12) : match.start()]
    if match[0] in _KNOWN or _VERSION.search(before):
        return False
    try:
        address = ip_address(match[0])
    except ValueError:
        return False
    if address.version == 6 and match[0].count(":") < 4:
        return False  # a time, or a ratio
    return address.is_global and not address.is_multicast


def look(example: Example) -> Hit | None:
    """Return what a row holds of it."""
    v4 = example.cluster >= 4 and _DOTS.search(example.forms)
    if not v4 and not _COLONS.search(example.encoded):
        return None
    found = spans(example.text)
    if not found:
        return None
    start = found[0][0]
    return Hit("holds a public IP address", example.text, start)


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for public IP addresses."""
    yield from told(
        RULE,
        hits,
        "{rows} hold{s} public IP addresses",
        help="`ftspec data clean --fix pii-ip` puts a word in their place",
        confidence=0.95,
    )


RULE = Rule("FT536", "pii-ip", Severity.WARNING, find)
