"""The header of a GGUF file: its metadata and the list of its tensors, without their data.

Source: the GGUF specification (github.com/ggml-org/ggml, docs/gguf.md), versions 2 and 3. A
header is read front to back and nothing is believed: every length is held against the file's own
size before a byte is read.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO, NoReturn

from ftspec.compiler.facts.config import ModelUnreadableError

VERSIONS = (2, 3)
# Limits; the largest public headers have some 2,000 tensors, 100 keys and 20 MB (vocabularies).
MOST_KEYS = 2**16
MOST_TENSORS = 2**17
MOST_TEXT = 2**24  # bytes of one text; chat templates have some ten thousand
MOST_HEADER = 2**26
MOST_DEPTH = 3  # of arrays within arrays
KEPT = 4096  # elements of an array that are kept; longer ones are counted only
CHUNK = 2**20

# Names of tensor types with the elements of a block and its bytes (ggml.c, `type_traits`).
TENSOR_TYPES: Mapping[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 40),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
}
# Types of metadata: struct's letter for each; 7 is a bool, 8 a text, 9 an array.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 10: "Q", 11: "q", 12: "d"}
_BOOL, _TEXT, _ARRAY = 7, 8, 9

Scalar = int | float | bool | str


@dataclass(frozen=True, slots=True)
class Array:
    """An array of the metadata: how many elements, and those of a short one of numbers."""

    count: int
    values: tuple[Scalar, ...] = ()


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of the list: its sizes (fastest first), its type's name, where its data end."""

    sizes: tuple[int, ...]
    type: str
    end: int | None  # from the start of all data; None where the type is not known

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return prod(self.sizes)


@dataclass(frozen=True, slots=True)
class Header:
    """What a GGUF file says of itself."""

    version: int
    values: Mapping[str, Scalar | Array]
    tensors: Mapping[str, Tensor]

    def type_counts(self) -> dict[str, int]:
        """Count the tensors of each type, the most frequent first."""
        counts: dict[str, int] = {}
        for tensor in self.tensors.values():
            counts[tensor.type] = counts.get(tensor.type, 0) + 1
        return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def read_header(path: Path, shown: str) -> Header:
    """Read the header of a GGUF file; `shown` is what messages call it.

    Raises ModelUnreadableError for what is no GGUF file, is cut short, or makes no sense.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            return _Reader(file, size, shown).header()
    except OSError as error:
        raise ModelUnreadableError(f"`{shown}` cannot be read: {error.strerror}") from error


class _Reader:
    """Reads a file front to back, in chunks, and never beyond its end."""

    def __init__(self, file: BinaryIO, size: int, shown: str) -> None:
        self.file, self.size, self.shown = file, size, shown
        self.buffer, self.at, self.before = bytearray(), 0, 0  # `before`: bytes dropped so far
        self.order = "<"

    def refuse(self, words: str) -> NoReturn:
        raise ModelUnreadableError(f"`{self.shown}` is not a GGUF file that can be read: {words}")

    def header(self) -> Header:
        if self.size < 24 or self.take(4) != b"GGUF":
            self.refuse("it does not begin with GGUF and a header")
        version = self.number("I")
        if version not in VERSIONS and version & 0xFFFF == 0:  # written on a big-endian machine
            self.order = ">"
            version = int.from_bytes(version.to_bytes(4, "little"), "big")
        if version not in VERSIONS:
            self.refuse(f"its version is {version}; 2 and 3 are known")
        tensors = self.count("tensors", MOST_TENSORS, least_bytes=24)
        keys = self.count("keys", MOST_KEYS, least_bytes=13)
        values = self._values(keys)
        listed = self._tensors(tensors)
        alignment = values.get("general.alignment", 32)
        if type(alignment) is not int or not 0 < alignment <= 2**20:
            self.refuse("`general.alignment` is no size")
        start = -(-(self.before + self.at) // alignment) * alignment
        self._hold_against_size(listed, start)
        return Header(version, values, listed)

    def _values(self, count: int) -> dict[str, Scalar | Array]:
        values: dict[str, Scalar | Array] = {}
        for _ in range(count):
            key = self.text()
            if key in values:
                self.refuse(f"the key `{key[:60]}` is there twice")
            values[key] = self.value(self.number("I"), 0)
        return values

    def _tensors(self, count: int) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {}
        for _ in range(count):
            name = self.text()
            if name in tensors:
                self.refuse(f"the tensor `{name[:60]}` is there twice")
            dimensions = self.number("I")
            if dimensions > 4:
                self.refuse(f"the tensor `{name[:60]}` has {dimensions} dimensions")
            sizes = tuple(self.number("Q") for _ in range(dimensions))
            kind, offset = self.number("I"), self.number("Q")
            elements = prod(sizes)
            if elements > 2**62 or offset > 2**62:
                self.refuse(f"the tensor `{name[:60]}` is said to have {elements:.0e} elements")
            known, block, each = TENSOR_TYPES.get(kind, (f"type-{kind}", 0, 0))
            end = offset + -(-elements // block) * each if block else None
            tensors[name] = Tensor(sizes, known, end)
        return tensors

    def _hold_against_size(self, tensors: Mapping[str, Tensor], start: int) -> None:
        for name, tensor in tensors.items():
            if tensor.end is not None and start + tensor.end > self.size:
                self.refuse(
                    f"it is cut short: `{name[:60]}` ends at byte {start + tensor.end:,} "
                    f"of {self.size:,}"
                )

    def value(self, kind: int, depth: int) -> Scalar | Array:
        if kind in _SCALARS:
            return self.scalar(_SCALARS[kind])
        if kind == _BOOL:
            return bool(self.number("B"))
        if kind == _TEXT:
            return self.text()
        if kind == _ARRAY:
            return self.array(depth)
        self.refuse(f"a value of the unknown type {kind}")

    def array(self, depth: int) -> Array:
        if depth >= MOST_DEPTH:
            self.refuse("arrays within arrays within arrays")
        kind = self.number("I")
        letter = "B" if kind == _BOOL else _SCALARS.get(kind)
        least = struct.calcsize("=" + letter) if letter else 8
        count = self.count("elements of an array", self.size, least_bytes=least)
        if letter is None:
            if kind == _TEXT:
                self.skip_texts(count)
            elif kind == _ARRAY:
                for _ in range(count):
                    self.array(depth + 1)
            else:
                self.refuse(f"an array of the unknown type {kind}")
            return Array(count)
        if count > KEPT:
            self.skip(count * least)
            return Array(count)
        return Array(count, struct.unpack(f"{self.order}{count}{letter}", self.take(count * least)))

    def scalar(self, letter: str) -> Scalar:
        """Return a number of one of struct's types."""
        number: Scalar = struct.unpack(
            self.order + letter, self.take(struct.calcsize("=" + letter))
        )[0]
        return number

    def number(self, letter: str) -> int:
        """Return a whole number of one of struct's types."""
        return int(self.scalar(letter))

    def count(self, what: str, most: int, *, least_bytes: int) -> int:
        """Return a count of things that take at least so many bytes each."""
        count = self.number("Q")
        left = self.size - self.before - self.at
        if count > most or count * least_bytes > left:
            self.refuse(f"it is said to have {count:,} {what}, more than fit")
        return count

    def text(self) -> str:
        size = self.number("Q")
        if size > MOST_TEXT:
            self.refuse(f"a text of {size:,} bytes")
        try:
            return self.take(size).decode("utf-8")
        except UnicodeDecodeError:
            self.refuse("a text that is not UTF-8")

    def skip_texts(self, count: int) -> None:
        """Pass over texts; a vocabulary has hundreds of thousands, so the loop is a tight one."""
        length = struct.Struct(self.order + "Q").unpack_from
        while count:
            buffer, at, end = self.buffer, self.at, len(self.buffer)
            try:
                for left in range(count, 0, -1):  # noqa: B007, used after the loop
                    (size,) = length(buffer, at)
                    if at + 8 + size > end:
                        break
                    at += 8 + size
                else:
                    left = 0
            except struct.error:  # the buffer ends within a length
                pass
            self.at, count = at, left
            if count:  # the next one is not whole in the buffer
                size = self.number("Q")
                if size > MOST_TEXT:
                    self.refuse(f"a text of {size:,} bytes")
                self.skip(size)
                count -= 1

    def skip(self, size: int) -> None:
        while size > 0:
            step = min(size, CHUNK)
            self.need(step)
            self.at += step
            size -= step

    def take(self, size: int) -> bytes:
        self.need(size)
        taken = bytes(self.buffer[self.at : self.at + size])
        self.at += size
        return taken

    def need(self, size: int) -> None:
        """Have `size` more bytes in the buffer, or refuse."""
        if self.at + size <= len(self.buffer):
            return
        here = self.before + self.at
        if here + size > self.size:
            self.refuse(f"it is cut short: {here + size:,} bytes are needed, it has {self.size:,}")
        if here + size > MOST_HEADER:
            self.refuse(f"its header is longer than {MOST_HEADER:,} bytes")
        del self.buffer[: self.at]
        self.before, self.at = here, 0
        while len(self.buffer) < size:
            more = self.file.read(max(CHUNK, size - len(self.buffer)))
            if not more:
                self.refuse("it is cut short")
            self.buffer += more
