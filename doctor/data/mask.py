"""Samples of data fit to be shown: private data and secrets masked, cut to a line."""

from __future__ import annotations

from ftspec.doctor.data.hits import LOOKED
from ftspec.doctor.data.rules import (
    pii_card,
    pii_email,
    pii_iban,
    pii_ip,
    pii_national_id,
    pii_phone,
    secret,
)

WIDTH, BEFORE = 160, 40  # characters of a sample, and of it before the place that is shown
Span = tuple[int, int]

# What is masked, and by which word it is replaced where data is cleaned. Longer finds first.
SPANS = (
    ("secret", secret.spans, "[SECRET]"),
    ("pii-email", pii_email.spans, "[EMAIL]"),
    ("pii-iban", pii_iban.spans, "[IBAN]"),
    ("pii-card", pii_card.spans, "[CARD]"),
    ("pii-national-id", pii_national_id.spans, "[ID]"),
    ("pii-ip", pii_ip.spans, "[IP]"),
    ("pii-phone", pii_phone.spans, "[PHONE]"),
)


def excerpt(text: str, start: int = 0) -> str:
    """Return a text around a place as one line, with nothing private in it.

    It is masked as a whole before it is cut: half a card number has no check digit.
    """
    first = max(0, start - LOOKED)
    text = text[first : start + LOOKED]
    start -= first
    begin = max(0, start - BEFORE)
    spans = _spans(text)
    inside = [span for span in spans if span[0] < begin < span[1]]
    begin = inside[0][0] if inside else begin
    shown = ("…" if begin or first else "") + _masked_from(text, spans, begin)
    shown = " ".join(shown.split()).encode("utf-8", "replace").decode()
    return shown if len(shown) <= WIDTH else shown[: WIDTH - 1].rstrip() + "…"


def _spans(text: str) -> list[Span]:
    """Return where anything private stands, in order, spans that touch one another as one."""
    joined: list[Span] = []
    for start, end in sorted(span for _, find, _ in SPANS for span in find(text)):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _masked_from(text: str, spans: list[Span], begin: int) -> str:
    parts, at = [], begin
    for start, end in spans:
        if start >= begin:
            parts += [text[at:start], _stars(text[start:end])]
            at = end
    return "".join([*parts, text[at:]])


def masked(text: str) -> str:
    """Return a text with all that is private in it made unreadable."""
    return _masked_from(text, _spans(text), 0)


def replaced(text: str, spans: list[Span], word: str) -> str:
    """Replace spans of a text by a word."""
    for start, end in reversed(spans):
        text = text[:start] + word + text[end:]
    return text


def _stars(text: str) -> str:
    """Keep at most two characters of a private text, and say how long it was."""
    return text[:2] + "*" * min(12, max(4, len(text) - 2))
