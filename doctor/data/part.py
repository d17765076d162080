"""A look at some thousand rows: every rule is asked, and what they found can be sent on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

from ftspec.doctor.data.counted import Counted
from ftspec.doctor.data.example import Example, keys_of
from ftspec.doctor.data.hits import Hit, Hits
from ftspec.doctor.data.layout import HEAD, Layout, Layouts
from ftspec.doctor.data.readers import read
from ftspec.doctor.data.readers.source import Meter, Source
from ftspec.doctor.data.record import Record
from ftspec.doctor.data.rule import Asked, DataRule, Look, Watch
from ftspec.doctor.data.shape import shape
from ftspec.doctor.data.tokens import Tokens

ROWS = 2_000  # of a part: the last of a file may have fewer


@dataclass(slots=True)
class Part:
    """What was found in rows that follow one another in a file; `watches` are those of the rules.

    The same rows are a part whoever looks at them, so what is put together of parts in their
    order does not depend on how many processes looked.
    """

    file: int
    watches: tuple[Watch, ...]
    share: float = 0.0  # of the file, read at the end of the part
    rows: int = 0
    usable: int = 0
    formats: Counter[str] = field(default_factory=Counter)
    hits: dict[str, Hits] = field(default_factory=dict)
    counted: Counted | None = None

    def add(self, name: str, record: Record, hit: Hit) -> None:
        """Note what the rule of a name found in a row."""
        if name not in self.hits:
            self.hits[name] = Hits("")
        self.hits[name].add(record.number, record.line, hit)


class Looker:
    """Looks at the rows of files part by part: at every one, or at each `of`-th from `index`.

    `most`: no more rows of a file are looked at.
    """

    def __init__(
        self,
        rules: Sequence[DataRule],
        asked: Asked,
        layout: Layout | None = None,
        tokens: Tokens | None = None,
        index: int = 0,
        of: int = 1,
        most: int | None = None,
    ) -> None:
        self._asked, self._layout, self._tokens = asked, layout, tokens
        self._index, self._of, self._most = index, of, most
        self._form = _looks(rules, form=True)
        self._plain = _looks(rules, ascii=True)
        self._all = _looks(rules)
        self._made = [item.watch for item in rules if item.watch]
        self._mixed = any(item.rule.name == "mixed-formats" for item in rules)

    def parts(self, sources: Sequence[Source]) -> Iterator[Part]:
        """Yield the parts of files, in order."""
        first = 0  # number of a file's first part
        for file, source in enumerate(sources):
            rows = yield from self._file(file, source, first)
            first += -(-rows // ROWS)

    def _file(self, file: int, source: Source, first: int) -> Generator[Part, None, int]:
        """Yield the parts of a file; return how many rows it has."""
        mine, layouts, meter = self._mine(first), Layouts(self._layout), Meter()
        every = read(source, lambda number: number <= HEAD or mine(number), meter)
        records = islice(every, self._most)
        head = list(islice(records, HEAD))
        layouts.learn(head)
        main = layouts.main.format if layouts.main else ""
        part, number = None, 0
        for record in chain(head, records):
            number = record.number
            if part is not None and number % ROWS == 1:
                yield self._whole(part, meter)
                part = None
            if mine(number):
                part = part or Part(file, tuple(watch(self._asked) for watch in self._made))
                self._row(part, shape(record, layouts), main)
        if part is not None:
            yield self._whole(part, meter)
        return number

    def _mine(self, first: int) -> Callable[[int], bool]:
        index, of = self._index, self._of
        return lambda number: (first + (number - 1) // ROWS) % of == index

    def _whole(self, part: Part, meter: Meter) -> Part:
        part.share = meter.share
        if self._tokens is not None:
            part.counted = self._tokens.taken()
        return part

    def _row(self, part: Part, example: Example, main: str) -> None:
        """Ask every rule about a row."""
        record = example.record
        part.rows += 1
        if example.flaws or record.fault is not None or record.odd or not record.raw:
            for name, look in self._form:
                hit = look(example)
                if hit is not None:
                    part.add(name, record, hit)
        if not example.usable:
            return
        part.usable += 1
        part.formats[example.format] += 1
        if main and example.format != main and self._mixed:
            words = f"is `{example.format}`, most are `{main}`"
            part.add("mixed-formats", record, Hit(words, example.prompt or example.text))
        example.keys = keys_of(example)
        for name, look in self._plain if example.ascii else self._all:
            hit = look(example)
            if hit is not None:
                part.add(name, record, hit)
        for watch in part.watches:
            watch.see(part.file, example)
        if self._tokens is not None:
            self._tokens.see(part.file, example)


def _looks(
    rules: Sequence[DataRule], *, form: bool = False, ascii: bool = False
) -> list[tuple[str, Look]]:
    return [
        (item.rule.name, item.look)
        for item in rules
        if item.look and item.form is form and not (ascii and item.beyond_ascii)
    ]
