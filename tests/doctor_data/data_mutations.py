"""Mutations of a file's bytes, by a seeded source of chance."""

from __future__ import annotations

import random

PIECES = (
    *(b"{", b"}", b"[", b"]", b'"', b",", b":", b"\n", b"\\", b"\r\n", b"null", b"NaN", b"1e999"),
    *(b"\xff", b"\xc3\xa9", b"\xe2\x80", b"\x00", b"\xef\xbb\xbf", b"\\ud800", b"\\u0000", b"{}"),
    *(b'{"text": "a"}', b'"messages"', b"[[[[[[", b"-", b"&amp;amp;", b"\xed\xa0\x80", b"\x1f\x8b"),
    "Ã©Â²â€™".encode(),
)


def mutated(content: bytes, source: random.Random) -> bytes:
    """Return the bytes with one to four of: cut, doubled, swapped, overwritten, inserted."""
    for _ in range(source.randrange(1, 5)):
        at = source.randrange(len(content) + 1)
        other = min(len(content), at + source.randrange(1, 60))
        kind = source.randrange(6)
        if kind == 0:
            content = content[:at]
        elif kind == 1:
            content = content[:at] + content[other:]
        elif kind == 2:
            content = content[:other] + content[at:]
        elif kind == 3:
            content = content[:at] + source.choice(PIECES) + content[at:]
        elif kind == 4:
            content = content[:at] + source.choice(PIECES) + content[other:]
        elif content:
            place = source.randrange(len(content))
            changed = bytes([content[place] ^ (1 << source.randrange(8))])
            content = content[:place] + changed + content[place + 1 :]
    return content
