"""A row's place, its file and its number, as one number of 63 bits."""

from __future__ import annotations

_ROWS = 44  # bits of a row's number


def pack(file: int, row: int) -> int:
    """Return a place as one number; later rows have greater ones."""
    return file << _ROWS | row


def unpack(place: int) -> tuple[int, int]:
    """Return the file and the row of a place."""
    return place >> _ROWS, place & ((1 << _ROWS) - 1)
