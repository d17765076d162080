"""JSON arrays, and values one after another: a row at a time, and on after a broken one.

A row that does not parse is left at the next place where a row begins: an object with a key of
the rows before. What lies between is the broken row.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import BinaryIO

from ftspec.doctor.data.readers.decoder import (
    NOT_JSON,
    Decoder,
    encodes,
    place_of,
    words_of,
)
from ftspec.doctor.data.readers.json_lines import KEPT
from ftspec.doctor.data.record import Fault, Record

CHUNK = 1 << 20  # bytes read at once
LONGEST = 64 * 2**20  # characters looked through for the end of one row
SKIPPED = re.compile(r"[\s]*")
BETWEEN = re.compile(r"[\s,]*")
OPENED = re.compile(r"(?<=[,\s\]}\[])\{|\A\{")
HEAD = 1 << 16


def is_lines(stream: BinaryIO) -> bool:
    """Say whether a stream holds a row a line; it is left at its start."""
    head: bytes = stream.peek(HEAD)[:HEAD]  # type: ignore[attr-defined]
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:1] != b"{":
        return text[:1] != b"["
    line, newline, _ = text.partition(b"\n")
    if not newline:
        return False
    try:
        json.loads(line)
    except NOT_JSON:
        return line.rstrip().endswith(b"}")  # a broken first row, or a row over many lines
    return True


class _Window:
    """The part of a text that is looked at: it grows at the end and is let go at the start."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
        self.text, self.at, self.line, self.ended = "", 0, 1, False
        self.commas = 0

    def more(self) -> bool:
        """Read on, at least as much again as is held; False at the end of the file."""
        if self.ended:
            return False
        self.text = self.text[self.at :]
        self.at = 0
        data = self._stream.read(max(CHUNK, len(self.text)))
        self.ended = not data
        self.text += self._decoder.decode(data, self.ended)
        return True

    def skip(self, pattern: re.Pattern[str]) -> str:
        """Go past what a pattern matches; return the next character, empty at the end.

        `commas` is how many of them were passed.
        """
        self.commas = 0
        while True:
            match = pattern.match(self.text, self.at)
            assert match is not None
            self.commas += match[0].count(",")
            self.go(match.end())
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""

    def go(self, to: int) -> None:
        """Go on to a place, counting lines."""
        self.line += self.text.count("\n", self.at, to)
        self.at = to


def read_values(stream: BinaryIO) -> Iterator[Record]:
    """Yield the rows of an array, or of values that stand one after another."""
    window, decoder = _Window(stream), Decoder()
    array = window.skip(SKIPPED) == "["
    if array:
        window.go(window.at + 1)
    keys: frozenset[str] = frozenset()
    number, seen, broken = 0, False, False
    while True:
        character = window.skip(BETWEEN)
        wanted = int(array and seen and character not in ("", "]"))
        if window.commas != wanted and not broken:
            number += 1
            words = (
                "a comma too many" if window.commas > wanted else "a comma lacks before this row"
            )
            fault = Fault(words, window.line, window.at - window.text.rfind("\n", 0, window.at))
            yield Record(number, window.line, fault=fault)
        if array and character == "]":
            window.go(window.at + 1)
            if not window.skip(SKIPPED):
                return
            character, array = window.text[window.at], False
            line = window.line
            number += 1
            rest = _broken(window, keys, decoder, "has more after the end of the array", 0)
            yield rest._replace(number=number, line=line)
            continue
        if not character:
            if array and not broken:  # a broken row that the file ends in has told it
                fault = Fault("the array has no end: the file is cut", window.line)
                yield Record(number + 1, window.line, fault=fault)
            return
        number += 1
        record = _next(window, decoder, keys)
        broken, seen = record.fault is not None, True
        if isinstance(record.value, dict) and record.value:
            keys = keys or frozenset(record.value)
        yield record._replace(number=number)


def _next(window: _Window, decoder: Decoder, keys: frozenset[str]) -> Record:
    """Read the value at the window's place; a broken one ends where the next row begins."""
    line = window.line
    while True:
        try:
            value, end = decoder.raw_decode(window.text, window.at)
        except NOT_JSON as error:
            decoder.taken()
            if _may_go_on(error, window) and window.more():
                continue
            return _broken(window, keys, decoder, words_of(error), place_of(error))
        if end == len(window.text) and window.more():
            decoder.taken()
            continue  # a number may go on
        raw = window.text[window.at : end]
        window.go(end)
        if not raw.isascii() and not encodes(raw):
            decoder.taken()
            place = next(at for at, ch in enumerate(raw) if not encodes(ch))
            fault = Fault("is not UTF-8", line + raw.count("\n", 0, place), None)
            return Record(0, line, fault=fault, raw=_writable(raw))
        return Record(0, line, value, odd=decoder.taken())


def _may_go_on(error: Exception, window: _Window) -> bool:
    """Say whether a value may be broken only because its end has not been read yet."""
    if window.ended or len(window.text) - window.at > LONGEST:
        return False
    if isinstance(error, json.JSONDecodeError) and error.msg.startswith("Unterminated"):
        return True
    return place_of(error) > len(window.text) - 16


def _broken(
    window: _Window, keys: frozenset[str], decoder: Decoder, words: str, place: int
) -> Record:
    """Return the broken row at the window's place, and go to where the next row begins."""
    line, begin = window.line, window.at
    place = max(place, begin)
    at_line = line + window.text.count("\n", begin, place)
    column = place - (window.text.rfind("\n", 0, place) + 1) + 1
    kept, length = "", 0
    while True:
        begin = window.at
        found, last = _row_start(window, begin + (1 if not length else 0), keys, decoder)
        stop = found if found is not None else last if not window.ended else len(window.text)
        kept += window.text[begin : min(stop, begin + KEPT - len(kept))]
        length += stop - begin
        window.go(stop)
        if found is not None or (window.ended and stop >= len(window.text)):
            break
        window.more()
    fault = Fault(words, at_line, column)
    return Record(0, line, fault=fault, raw=_writable(kept).rstrip().rstrip(",]").rstrip())


def _row_start(
    window: _Window, start: int, keys: frozenset[str], decoder: Decoder
) -> tuple[int | None, int]:
    """Return where a whole row begins from `start` on, else from where to look when more is read.

    A row has a key of those seen before; where none were, it is any object with keys.
    """
    text = window.text
    for match in OPENED.finditer(text, start):
        try:
            value, end = decoder.raw_decode(text, match.start())
        except NOT_JSON as error:
            decoder.taken()
            if _may_go_on(error, window):
                return None, match.start()
            continue
        decoder.taken()
        if isinstance(value, dict) and (keys & value.keys() if keys else value):
            if end == len(text) and not window.ended:
                return None, match.start()
            return match.start(), end
    return None, len(text)


def _writable(text: str) -> str:
    """Return a text with bytes that were no UTF-8 written as escapes."""
    data = text.encode("utf-8", "surrogateescape") if not text.isascii() else text.encode()
    return data.decode("utf-8", "backslashreplace")
