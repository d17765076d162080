"""Near-duplicates: one-permutation MinHash in bands finds candidates, a sketch checks each.

Plain Python, no library: a row costs one hash for each of its words, and twelve keys.
"""

from __future__ import annotations

import re
import tempfile
import weakref
from array import array
from collections.abc import Iterator
from zlib import crc32

from ftspec.doctor.data.store import HELD, KeyStore

SHINGLE = 3  # words
BANDS, BAND = 12, 5  # 1 - (1 - 0.8**5)**12 = 99.1 % of pairs at 0.8 become candidates
BINS = BANDS * BAND
SKETCH = 128  # smallest hashes kept of a row
ALIKE = 0.8
COMPARED = 6  # earlier rows of a band that a row is compared with
HELD_SKETCHES = 8192
SPOOLED = 64 * 2**20  # bytes of sketches in memory before they go to disk
_WORD = re.compile(r"\w+")
_MIX = 0x9E3779B97F4A7C15  # Knuth's multiplicative hashing: crc32 is linear, bins need mixing
_MASK = (1 << 64) - 1


def shingles(text: str) -> set[int]:
    """Return the hashes, 32 bits each, of all runs of three words; a short text is one."""
    words = _WORD.findall(text.lower())
    if len(words) < SHINGLE:
        return {_hash(" ".join(words))} if words else set()
    # A hash a word, then of three: half the time of joining and encoding each run.
    codes = [crc32(word.encode("utf-8", "replace")) for word in words]
    return {
        ((a * 0x9E3779B1 ^ b * 0x85EBCA77 ^ c * 0xC2B2AE3D) * _MIX & _MASK) >> 32
        for a, b, c in zip(codes, codes[1:], codes[2:], strict=False)
    }


def _hash(text: str) -> int:
    return (crc32(text.encode("utf-8", "replace")) * _MIX & _MASK) >> 32


def signature(hashes: set[int]) -> list[int]:
    """Return the smallest hash of each bin; an empty bin takes that of the next full one."""
    bins = [-1] * BINS
    for value in sorted(hashes, reverse=True):
        bins[value % BINS] = value
    after = next(value for value in bins if value >= 0)
    for place in range(BINS - 1, -1, -1):
        if bins[place] < 0:
            bins[place] = after + place + 1  # with its distance, so that runs of bins differ
        else:
            after = bins[place]
    return bins


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
    """Takes in rows and gives back pairs that are alike; memory is bounded, the rest on disk."""

    def __init__(self, held: int = HELD) -> None:
        self._bands = KeyStore(held)
        self._sketches = tempfile.SpooledTemporaryFile(max_size=SPOOLED)
        weakref.finalize(self, self._sketches.close)  # a check that ends early asks for no pairs
        self._held: dict[int, frozenset[int]] = {}
        self._starts, self._places, self._keys = array("Q", [0]), array("Q"), array("Q")

    def add(self, place: int, text: str, key: int) -> None:
        """Sketch a row; rows of one `key` are exact duplicates, and no pair."""
        hashes = shingles(text)
        if not hashes:
            return
        number = len(self._places)
        sketch = array("I", sorted(hashes)[:SKETCH])
        self._sketches.write(sketch.tobytes())
        self._starts.append(self._starts[-1] + len(sketch))
        self._places.append(place)
        self._keys.append(key)
        bins = signature(hashes)
        for band in range(BANDS):
            values = tuple(bins[band * BAND : band * BAND + BAND])
            self._bands.add(hash((band, values)) & _MASK, number)

    def pairs(self) -> Iterator[tuple[int, int, float]]:
        """Yield (later place, earlier place, how alike), in order of the later.

        The earlier one of a pair is no later one of another: it is a row that stays.
        """
        matches: dict[int, list[tuple[float, int]]] = {}
        compared: set[tuple[int, int]] = set()
        for group in self._bands.groups():
            firsts: list[int] = []
            for number in group:
                self._compare(number, firsts, matches, compared)
                if len(firsts) < COMPARED:
                    firsts.append(number)
            if len(compared) > 2_000_000:
                compared.clear()
        gone: set[int] = set()
        for later in sorted(matches):
            share, first = max((m for m in matches[later] if m[1] not in gone), default=(0.0, 0))
            if share:
                gone.add(later)
                yield self._places[later], self._places[first], share
        self._bands.close()
        self._sketches.close()

    def _compare(
        self,
        number: int,
        firsts: list[int],
        matches: dict[int, list[tuple[float, int]]],
        compared: set[tuple[int, int]],
    ) -> None:
        for first in firsts:
            if first == number or (number, first) in compared:
                continue
            compared.add((number, first))
            if self._keys[first] == self._keys[number]:
                continue
            share = alike(self._sketch(first), self._sketch(number))
            if share >= ALIKE:
                matches.setdefault(number, []).append((share, first))

    def _sketch(self, number: int) -> frozenset[int]:
        held = self._held.get(number)
        if held is not None:
            return held
        start, end = self._starts[number], self._starts[number + 1]
        self._sketches.seek(4 * start)
        sketch = array("I")
        sketch.frombytes(self._sketches.read(4 * (end - start)))
        if len(self._held) >= HELD_SKETCHES:
            self._held.clear()
        self._held[number] = found = frozenset(sketch)
        return found
