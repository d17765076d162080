"""Colours, where the stream wants them: NO_COLOR, FORCE_COLOR, TERM=dumb, a terminal or not."""

from __future__ import annotations

import os
from typing import TextIO

from ftspec.spec.render import Paint, no_paint

_CODES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "cyan": "36",
}


def wants_colour(stream: TextIO) -> bool:
    """Say whether a stream should be painted (https://no-color.org, https://force-color.org)."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return os.environ.get("TERM") != "dumb" and stream.isatty()


def painter(stream: TextIO) -> Paint:
    """Return the painter for a stream."""
    return _ansi if wants_colour(stream) else no_paint


def _ansi(text: str, style: str) -> str:
    codes = ";".join(_CODES[word] for word in style.split())
    return f"\x1b[{codes}m{text}\x1b[0m"


def speaks_unicode(stream: TextIO) -> bool:
    """Say whether a stream's encoding has block characters."""
    try:
        "█▏…→".encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
