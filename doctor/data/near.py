"""Near-duplicates: one-permutation MinHash in bands finds candidates, a sketch checks each.

Plain Python, no library: a row costs one hash for each of its words, and twelve keys.
"""

from __future__ import annotations

import re
import struct
import tempfile
import weakref
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple
from zlib import crc32

from ftspec.doctor.data.store import HELD, KeyStore

SHINGLE = 3  # words
BANDS, BAND = 12, 5  # 1 - (1 - 0.8**5)**12 = 99.1 % of pairs at 0.8 become candidates
BINS = BANDS * BAND
SKETCH = 128  # smallest hashes kept of a row
ALIKE = 0.8
COMPARED = 6  # earlier rows of a band that a row is compared with
HELD_SKETCHES = 2048  # 12 kB each
REMEMBERED = 500_000  # pairs that are not compared again
MILLION = 1_000_000
SPOOLED = 64 * 2**20  # bytes of sketches in memory before they go to disk
_WORD = re.compile(r"\w+")
_APART = bytes(byte if chr(byte).isalnum() or byte == ord("_") else 32 for byte in range(256))
WORDS = 200_000  # whose numbers are held
_MASK = (1 << 64) - 1
_HEAD = struct.Struct("<QQI")  # place, key, hashes


class _Sketch(NamedTuple):
    """A row's place, its key, and the smallest of its hashes."""

    place: int
    key: int
    hashes: frozenset[int]


class _Codes(dict[bytes, int]):
    """A number for each word; words that come again, as most do, are not hashed again."""

    def __missing__(self, word: bytes) -> int:
        if len(self) >= WORDS:
            self.clear()
        self[word] = code = crc32(word)
        return code


_codes = _Codes()


def words_of(text: str) -> list[bytes]:
    """Return the words of a text, in lower case."""
    text = text.lower()
    if text.isascii():  # the same, in a third of the time
        return text.encode().translate(_APART).split()
    return [word.encode("utf-8", "replace") for word in _WORD.findall(text)]


def shingles(text: str) -> set[int]:
    """Return the hashes, of 64 bits with a sign, of all runs of three words; a short text is one.

    They are Python's own of tuples of numbers: the same in every process, unlike those of texts.
    """
    codes = list(map(_codes.__getitem__, words_of(text)))
    if len(codes) < SHINGLE:
        return {hash(tuple(codes))} if codes else set()
    return set(map(hash, zip(codes, codes[1:], codes[2:], strict=False)))


def signature(hashes: list[int]) -> Iterator[tuple[int, ...]]:
    """Yield the bands: the smallest of sorted hashes of each bin, some bins together.

    An empty bin takes that of the next full one.
    """
    bins: list[int | None] = [None] * BINS
    for value in reversed(hashes):
        bins[value % BINS] = value
    after = next(value for value in bins if value is not None)
    filled = []
    for place in range(BINS - 1, -1, -1):
        full = bins[place]
        # An empty one with its distance, so that runs of bins differ.
        filled.append(after + place + 1 if full is None else full)
        after = after if full is None else full
    return zip(*[iter(filled)] * BAND, strict=True)


def alike(one: frozenset[int], other: frozenset[int]) -> float:
    """Return the share that two sets have in common (Jaccard), from their sketches.

    Exact where both sets fit their sketches; else over the smallest hashes of the union (Broder).
    0 where even the sizes rule out that they are alike.
    """
    sizes = len(one), len(other)
    if min(sizes) < ALIKE * max(sizes):
        return 0.0
    both = one & other
    if max(sizes) < SKETCH:
        return len(both) / (sum(sizes) - len(both)) if both else 0.0
    if len(both) < 0.5 * min(sizes):
        return 0.0  # the smallest of the union have less than half in common as well
    union = sorted(one | other)[:SKETCH]
    return sum(value in both for value in union) / len(union)


class Near:
    """Takes in rows and gives back pairs that are alike; memory is bounded, the rest on disk.

    A row takes 20 bytes and 4 for each hash of its sketch (532 at most), and 192 for its bands.
    """

    def __init__(self, held: int = HELD) -> None:
        self._bands = KeyStore(1, held)
        self._sketches = tempfile.SpooledTemporaryFile(max_size=SPOOLED)
        weakref.finalize(self, self._sketches.close)  # a check that ends early asks for no pairs
        self._size = 0
        self._held: dict[int, _Sketch] = {}

    def add(self, place: int, text: str, key: int) -> None:
        """Sketch a row; rows of one `key` are exact duplicates, and no pair."""
        hashes = sorted(shingles(text))
        if not hashes:
            return
        at = self._size  # a row is known by where its sketch stands in the file
        sketch = array("i", [value >> 32 for value in hashes[:SKETCH]])
        self._size += self._sketches.write(_HEAD.pack(place, key, len(sketch)) + sketch.tobytes())
        self._bands.add_each([hash(band) & _MASK for band in signature(hashes)], at)

    def take(self, later: Near) -> None:
        """Take in the rows that another sketched, in memory."""
        later._sketches.seek(0)
        self._bands.take(later._bands, self._size)
        self._size += self._sketches.write(later._sketches.read())

    def pairs(self) -> Iterator[tuple[int, int, float]]:
        """Yield (later place, earlier place, how alike), in order of the later.

        The earlier one of a pair is no later one of another: it is a row that stays.
        """
        matches = self._matches()
        gone = array("Q")  # in order
        order = sorted(range(0, len(matches), 3), key=matches.__getitem__)
        for later, group in groupby(order, matches.__getitem__):
            best = (0, 0)
            for at in group:
                first = matches[at + 1]
                place = bisect_left(gone, first)
                if place == len(gone) or gone[place] != first:
                    best = max(best, (matches[at + 2], first))
            if best[0]:
                gone.append(later)
                yield self._sketch(later).place, self._sketch(best[1]).place, best[0] / MILLION
        self._bands.close()
        self._sketches.close()

    def _matches(self) -> array[int]:
        """Return later row, earlier row and millionths alike, of all pairs that are candidates."""
        matches = array("Q")
        compared: set[tuple[int, int]] = set()
        for group in self._bands.groups():
            firsts: list[int] = []
            for (at,) in group:
                alone = self._compare(at, firsts, compared, matches)
                if alone and len(firsts) < COMPARED:
                    firsts.append(at)
            if len(compared) > REMEMBERED:
                compared.clear()
        return matches

    def _compare(
        self, at: int, firsts: list[int], compared: set[tuple[int, int]], matches: array[int]
    ) -> bool:
        """Note which earlier rows a row is like; False for an exact duplicate of one of them."""
        for first in firsts:
            if (at, first) in compared:
                continue
            one, other = self._sketch(first), self._sketch(at)
            if one.key == other.key:
                return False
            compared.add((at, first))
            share = alike(one.hashes, other.hashes)
            if share >= ALIKE:
                matches.extend((at, first, round(share * MILLION)))
        return True

    def _sketch(self, at: int) -> _Sketch:
        held = self._held.get(at)
        if held is not None:
            return held
        self._sketches.seek(at)
        place, key, count = _HEAD.unpack(self._sketches.read(_HEAD.size))
        hashes = array("i")
        hashes.frombytes(self._sketches.read(4 * count))
        if len(self._held) >= HELD_SKETCHES:
            self._held.clear()
        self._held[at] = found = _Sketch(place, key, frozenset(hashes))
        return found

    def __getstate__(self) -> tuple[KeyStore, bytes]:
        """Return what a process sends to another."""
        self._sketches.seek(0)
        return self._bands, self._sketches.read()

    def __setstate__(self, state: tuple[KeyStore, bytes]) -> None:
        self.__init__()  # type: ignore[misc]
        self._bands = state[0]
        self._size = self._sketches.write(state[1])
