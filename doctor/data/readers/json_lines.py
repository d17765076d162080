"""JSON lines: a row a line; a broken line is one broken row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO

from ftspec.doctor.data.readers.decoder import NOT_JSON, Decoder, place_of, undecodable, words_of
from ftspec.doctor.data.record import Fault, Record

LONGEST = 64 * 2**20  # bytes of one line; a longer one is told, not held
KEPT = 65_536  # characters of a row with a fault that are kept to be shown or set aside


Wanted = Callable[[int], bool]


def every(number: int) -> bool:
    """Say of every row that it is wanted."""
    return True


def read_lines(stream: BinaryIO, wanted: Wanted = every) -> Iterator[Record]:
    """Yield the rows of JSON lines; blank lines are none, and rows not wanted are not parsed."""
    decoder, number = Decoder(), 0
    for at, line in enumerate(iter(partial(stream.readline, LONGEST), b""), 1):
        if at == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line.isspace() or not line:
            continue
        number += 1
        if len(line) == LONGEST and not line.endswith(b"\n"):
            while (rest := stream.readline(LONGEST)) and not rest.endswith(b"\n"):
                pass
            fault = Fault(f"is longer than {LONGEST >> 20} MiB", at, 1)
            yield Record(number, at, fault=fault, raw=line[:KEPT].decode("utf-8", "replace"))
            continue
        yield parse(line, number, at, decoder) if wanted(number) else Record(number, at)


def parse(line: bytes, number: int, at: int, decoder: Decoder) -> Record:
    """Return one line as a row."""
    try:
        text = line.decode().strip()
    except UnicodeDecodeError as error:
        column = len(line[: error.start].decode("utf-8", "replace")) + 1
        fault = Fault(undecodable(error), at, column)
        return Record(number, at, fault=fault, raw=line.decode("utf-8", "backslashreplace").strip())
    try:
        value, end = decoder.raw_decode(text)
    except NOT_JSON as error:
        decoder.taken()
        column = _column(line, place_of(error))
        return Record(number, at, fault=Fault(words_of(error), at, column), raw=text)
    if end != len(text):
        decoder.taken()
        end += len(text[end:]) - len(text[end:].lstrip())
        fault = Fault("has more after the end of the row", at, _column(line, end))
        return Record(number, at, fault=fault, raw=text)
    return Record(number, at, value, None, text, decoder.taken() if decoder.odd else "")


def _column(line: bytes, place: int) -> int:
    text = line.decode()
    return len(text) - len(text.lstrip()) + place + 1
