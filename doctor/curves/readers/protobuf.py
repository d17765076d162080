"""The wire format of protocol buffers: numbers and bytes by field, without a schema.

Source: protobuf.dev, Encoding. Types: 0 varint, 1 eight bytes, 2 a length and bytes, 5 four bytes.
"""

from __future__ import annotations

from collections.abc import Iterator


class Broken(Exception):
    """The bytes are not a message."""


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield field numbers and values in order. Raises Broken where the bytes are no message."""
    place, size = 0, len(data)
    while place < size:
        key, place = _varint(data, place)
        kind = key & 7
        if kind == 0:
            value, place = _varint(data, place)
            yield key >> 3, value
            continue
        if kind == 2:
            length, place = _varint(data, place)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise Broken(f"wire type {kind}")
        if place + length > size:
            raise Broken("a field is longer than its message")
        yield key >> 3, data[place : place + length]
        place += length


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            raise Broken("a number is cut off")
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise Broken("a number has no end")
