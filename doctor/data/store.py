"""Keys of rows in bounded memory: sorted into parts by their value, on disk when they are many."""

from __future__ import annotations

import tempfile
import weakref
from array import array
from collections import defaultdict
from collections.abc import Iterator
from typing import BinaryIO, cast

PARTS = 128
HELD = 4_000_000  # keys in memory (64 MB) before they go to disk
FLUSHED = 1 << 13  # keys of a part that are written at once


class KeyStore:
    """Holds (key, value) pairs of 64 bits each, and gives back those whose key came twice.

    16 bytes a pair. Up to `held` pairs are in memory; then all go to temporary files, a part
    each, of which one is in memory when groups are read.
    """

    def __init__(self, held: int = HELD) -> None:
        self._parts = [array("Q") for _ in range(PARTS)]
        self._held = held
        self._files: list[BinaryIO] | None = None
        self._count = 0

    def add(self, key: int, value: int) -> None:
        """Note a pair."""
        part = self._parts[key % PARTS]
        part.append(key)
        part.append(value)
        self._count += 1
        if self._files is not None:
            if len(part) >= 2 * FLUSHED:
                self._write(key % PARTS)
        elif self._count > self._held:
            self._files = [cast(BinaryIO, tempfile.TemporaryFile()) for _ in range(PARTS)]
            for file in self._files:  # also where a check ends before it asks for groups
                weakref.finalize(self, file.close)
            for place in range(PARTS):
                self._write(place)

    def _write(self, place: int) -> None:
        assert self._files is not None
        self._parts[place].tofile(self._files[place])
        del self._parts[place][:]

    def groups(self) -> Iterator[list[int]]:
        """Yield the values of each key that came twice or more, in the order they came."""
        for place in range(PARTS):
            groups: dict[int, list[int]] = defaultdict(list)
            pairs = self._pairs(place)
            seen: set[int] = set()
            twice: set[int] = set()
            for key in pairs[::2]:
                (twice if key in seen else seen).add(key)
            if not twice:
                continue
            for at in range(0, len(pairs), 2):
                if pairs[at] in twice:
                    groups[pairs[at]].append(pairs[at + 1])
            yield from groups.values()

    def _pairs(self, place: int) -> array[int]:
        pairs = array("Q")
        if self._files is not None:
            file = self._files[place]
            file.seek(0)
            pairs.frombytes(file.read())
            file.seek(0, 2)
        pairs.extend(self._parts[place])
        return pairs

    def close(self) -> None:
        """Let go of the files."""
        for file in self._files or ():
            file.close()
        self._files = None
        self._parts = [array("Q") for _ in range(PARTS)]
