"""Keys of rows in bounded memory: sorted into parts by their value, on disk when they are many."""

from __future__ import annotations

import tempfile
import weakref
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, BinaryIO, cast

PARTS = 256
HELD = 2_000_000  # entries in memory (32 MB of pairs, 48 MB of threes) before they go to disk


class KeyStore:
    """Holds keys of 64 bits, each with one or more numbers, and gives those whose key came twice.

    8 bytes a number. At most `held` entries are in memory, the others in one temporary file, from
    which a part of them at a time is read when groups are asked for.
    """

    def __init__(self, values: int = 1, held: int = HELD) -> None:
        self._width = values + 1
        self._parts: dict[int, array[int]] = defaultdict(partial(array, "Q"))
        self._held, self._count = held, 0
        self._file: BinaryIO | None = None
        self._written: dict[int, list[tuple[int, int]]] = defaultdict(list)

    def add(self, key: int, *values: int) -> None:
        """Note a key with its values."""
        part = self._parts[key % PARTS]
        part.append(key)
        part.extend(values)
        self._count += 1
        if self._count > self._held:
            self._write()

    def add_each(self, keys: Sequence[int], value: int) -> None:
        """Note several keys with one value."""
        for key in keys:
            part = self._parts[key % PARTS]
            part.append(key)
            part.append(value)
        self._count += len(keys)
        if self._count > self._held:
            self._write()

    def take(self, later: KeyStore, shift: int = 0) -> None:
        """Note all that another store in memory holds; `shift` is added to its last values."""
        width = self._width
        for place, other in later._parts.items():
            if shift:
                shifted = [value + shift for value in other[width - 1 :: width]]
                other[width - 1 :: width] = array("Q", shifted)
            self._parts[place].extend(other)
        self._count += later._count
        if self._count > self._held:
            self._write()

    def _write(self) -> None:
        """Write all that is held to the file."""
        if self._file is None:
            self._file = cast(BinaryIO, tempfile.TemporaryFile())
            weakref.finalize(self, self._file.close)  # also where no one asks for groups
        for place, part in self._parts.items():
            self._written[place].append((self._file.tell(), len(part) * part.itemsize))
            part.tofile(self._file)
        self._parts.clear()
        self._count = 0

    def groups(self) -> Iterator[list[tuple[int, ...]]]:
        """Yield the values of each key that came twice or more, in the order they came."""
        for place in sorted(self._parts.keys() | self._written.keys()):
            entries = self._entries(place)
            keys = entries[:: self._width]
            if len(set(keys)) == len(keys):
                continue
            twice = {key for key, count in Counter(keys).items() if count > 1}
            groups: dict[int, list[tuple[int, ...]]] = {}
            for at, key in enumerate(keys):
                if key in twice:
                    first = at * self._width
                    values = tuple(entries[first + 1 : first + self._width])
                    groups.setdefault(key, []).append(values)
            yield from groups.values()

    def _entries(self, place: int) -> array[int]:
        entries = array("Q")
        if self._file is not None:
            for start, size in self._written.get(place, ()):
                self._file.seek(start)
                entries.frombytes(self._file.read(size))
            self._file.seek(0, 2)
        entries.extend(self._parts.get(place, ()))
        return entries

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
        self._file = None
        self._parts.clear()

    def __getstate__(self) -> tuple[Any, ...]:
        """Return what a process sends to another: a store that is in memory."""
        return self._width - 1, self._held, self._count, dict(self._parts)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        values, held, count, parts = state
        self.__init__(values, held)  # type: ignore[misc]
        self._count = count
        self._parts.update(parts)
