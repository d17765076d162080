"""Logs that are printed for people: lines of names and numbers, between all that is printed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ftspec.doctor.curves.log import Log
from ftspec.doctor.curves.readers.builder import Builder
from ftspec.doctor.curves.readers.keys import Meaning, meaning
from ftspec.doctor.curves.readers.marks import Marks
from ftspec.doctor.curves.readers.reader import Reader
from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.values import number

LONGEST = 64 * 1024  # of a line, more is not looked at
LONGEST_ALIKE = 1024  # longer lines are few
PATTERNS = 100  # made of a log; lines that are all different are read one by one

NUMBER = r"[-+]?(?:\d+(?:,\d{3})*(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:[nN]a[nN]|NAN|[iI]nf)\b"
PLAIN_NUMBER = r"(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)"
_WORD = r"[\w./()%@|#]*"
PAIR = re.compile(
    rf"([A-Za-z_]{_WORD}(?:[ -][A-Za-z_(]{_WORD}){{0,5}}?)(?: *[:=] *| +)"
    rf"(?:[a-z]+\.\w+\(|tensor\()?({NUMBER})(?:/ *(\d+))?((?: ?(?:[GM]i?B\b|ms\b))|[a-zA-Z%]*)"
)
LINE = re.compile(
    rf"\b(?:\w+[ _/-])?[lL](?:oss|OSS)\b[^\d\n]{{0,24}}?(?:{NUMBER})|LOSS\W+(?:{NUMBER})"
)
_COUNTED = re.compile(r"\b(?:step|iter(?:ation)?|epoch|batch|update)s?\b\W{0,3}\d", re.IGNORECASE)
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

_LEVEL = re.compile(r"^(?:INFO|WARNING|DEBUG|root|and|with|at|the|on|rank)[ -]+")

Row = Mapping[str, Any]
Finds = Callable[[str], Iterable[tuple[str, int, int]]]


@dataclass(frozen=True)
class Printed:
    """A printed format: `line` is how its records look, `parse` makes rows of such a line.

    `keys` are names that mean something else here than in the one table; `weight` is how sure a
    matching line makes us.
    """

    format: str
    title: str
    line: re.Pattern[str]
    parse: Callable[[str], Iterable[Row]]
    words: tuple[str, ...] = ("loss",)  # one of them is in every record: a quick test
    keys: Mapping[str, Meaning] = field(default_factory=dict)
    weight: float = 1.0

    @property
    def reader(self) -> Reader:
        """The format's reader."""
        return Reader(self.format, self.title, self.score, self.read)

    def score(self, log: Log) -> float:
        """Count the lines in the windows that look like this format's."""
        return self.weight * sum(
            1
            for window in log.windows
            if any(word in window for word in self.words)
            for line in re.split(r"[\r\n]", window)
            if len(line) <= LONGEST
            and any(word in line for word in self.words)
            and self.line.search(line)
        )

    def read(self, log: Log) -> Run:
        """Read the records and the events of the text."""
        builder = Builder(self.keys)
        finds = self.parse.spans if isinstance(self.parse, Pairs) else None
        read_lines(log, builder, self._take, finds)
        return builder.run(log.name, self.format)

    def _take(self, builder: Builder, line: str, place: int) -> bool:
        if not any(word in line for word in self.words) or not self.line.search(line):
            return False
        for row in self.parse(line):
            builder.row(row, place)
        return True


def read_lines(
    log: Log, builder: Builder, take: Callable[[Builder, str, int], bool], finds: Finds | None
) -> None:
    """Give each line to `take`; what it does not take is looked at for events.

    Progress bars end their lines with a carriage return: each of their parts is a line to
    `take`, but line numbers count line feeds, as editors do. With `finds`, lines that look like
    the record before them are read by its pattern, many at once.
    """
    marks, alike = Marks(builder), Alike(builder, finds) if finds else None
    for first, block in log.blocks():
        look = marks.worth_a_look(block)
        if "\r\n" in block:
            block = block.replace("\r\n", "\n")
        lines = block.split("\n")
        if not lines[-1]:
            lines.pop()
        for place, line in enumerate(lines, first):
            if alike is not None and alike.match is not None:
                same = alike.match(line)
                if same is not None:
                    alike.rows.append(same.groups())
                    continue
                alike.flush()
            before = builder.size
            for part in line.split("\r") if "\r" in line else (line,):
                if len(part) > LONGEST:
                    part = part[:LONGEST]
                if "\x1b" in part:
                    part = _ANSI.sub("", part)
                if take(builder, part, place):
                    continue
                if look and part:
                    marks.look(part, place)
                if "oss" in part and LINE.search(part) and _COUNTED.search(part):
                    builder.leave(part, place)
            if alike is not None and builder.size == before + 1:
                alike.learn(line)
        if alike is not None:
            alike.flush()


class Alike:
    """Reads lines that differ from an earlier record in their numbers only."""

    def __init__(self, builder: Builder, finds: Finds) -> None:
        self.match: Callable[[str], re.Match[str] | None] | None = None
        self.rows: list[tuple[str, ...]] = []
        self._builder, self._finds = builder, finds
        self._names: tuple[str, ...] = ()
        self._learnt = 0

    def learn(self, line: str) -> None:
        """Make a pattern of a line that was a record: its numbers may change, its words not."""
        self._learnt += 1
        if self._learnt > PATTERNS or len(line) > LONGEST_ALIKE:
            return
        found = list(self._finds(line))
        names = tuple(name for name, _, _ in found)
        if len(set(names)) < len(names) or not self._builder.takes(names):
            return
        parts, end = [], 0
        for _, start, stop in found:
            parts += [_loosely(line[end:start]), PLAIN_NUMBER]
            end = stop
        self._names = names
        self.match = re.compile("".join(parts) + _loosely(line[end:])).fullmatch

    def flush(self) -> None:
        """Give the rows that were collected to the builder."""
        rows, self.rows = self.rows, []
        if not rows:
            return
        if self._builder.takes(self._names):
            self._builder.texts(self._names, rows)
        else:
            for row in rows:
                self._builder.row(dict(zip(self._names, row, strict=True)))


def _loosely(text: str) -> str:
    """Make a pattern of the text between numbers: other digits (times), widths and bars."""
    parts = []
    for part in re.split(r"((?<=%)\|[^|]*\|)", text):
        if part[:1] == "|" == part[-1:]:
            parts.append(r"\|[^|]*\|")
        else:
            digits = re.sub(r"\d+", r"\\d+", re.escape(part))
            parts.append(re.sub(r"(?:\\ )+", " +", digits))
    return "".join(parts)


class Pairs:
    """Makes rows of names and numbers; what names occur together is worked out once."""

    def __init__(self, keys: Mapping[str, Meaning] | None = None) -> None:
        self._keys = keys or {}
        self._names: dict[tuple[Any, ...], tuple[str, ...]] = {}

    def __call__(self, line: str) -> tuple[Row, ...]:
        """Return the row that a line holds, if it holds any number with a name."""
        found = PAIR.findall(line)
        if not found:
            return ()
        keys, values, totals, units = zip(*found, strict=True)
        names = self._names.get((keys, units))
        if names is None:
            names = tuple(map(self._name, keys, units))
            if len(self._names) < 10_000:
                self._names[keys, units] = names
        try:
            row: dict[str, Any] = dict(zip(names, map(float, values), strict=True))
        except ValueError:
            row = dict(zip(names, map(number, values), strict=True))
        if any(totals):
            for name, total in zip(names, totals, strict=True):
                if total and meaning(name).role == "step":
                    row["total_steps"] = float(total)
        return (row,)

    def spans(self, line: str) -> Iterator[tuple[str, int, int]]:
        """Yield each number's name, and where it stands."""
        for match in PAIR.finditer(line):
            yield self._name(match.group(1), match.group(4)), match.start(2), match.end(2)

    def _name(self, key: str, unit: str) -> str:
        """Name a number by its key and unit, without the level that a logger printed before."""
        name, unit = _LEVEL.sub("", key), unit.strip()
        return f"{name}\x1f{unit}" if unit and name not in self._keys else name
