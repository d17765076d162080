"""Check data files: one pass over the rows, every rule asked, findings by file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from types import MappingProxyType
from typing import Any

from ftspec.doctor.data.catalogue import RULES
from ftspec.doctor.data.example import Example, keys_of
from ftspec.doctor.data.hits import Hit, Hits, Shown
from ftspec.doctor.data.layout import HEAD, Layout, Layouts
from ftspec.doctor.data.readers import read
from ftspec.doctor.data.readers.source import Source
from ftspec.doctor.data.rule import Asked, DataRule, Look, Watch
from ftspec.doctor.data.shape import shape
from ftspec.doctor.data.tokens import Tokens
from ftspec.spec.finding import Finding, Severity

Progress = Callable[[str, int], None]
EVERY = 20_000  # rows between two words of progress


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a check is asked for.

    `layout`: the format and columns that a spec names. `held_out`: files that are evaluated on.
    `near`: look for near-duplicates as well. `rules`: which are asked. `tokens`: counts rows in
    tokens. `lacking`: what could not be had for it, in words.
    """

    layout: Layout | None = None
    held_out: tuple[Source, ...] = ()
    near: bool = False
    rules: tuple[DataRule, ...] = RULES
    progress: Progress | None = None
    tokens: Tokens | None = None
    lacking: tuple[str, ...] = ()


@dataclass(slots=True)
class Checked:
    """What a check found.

    `formats`: rows of each format. `lacking`: what could not be looked for.
    """

    rows: int
    formats: Mapping[str, int]
    findings: tuple[Finding, ...]
    files: tuple[str, ...]
    usable: int = 0
    held_out_rows: int = 0
    lacking: tuple[str, ...] = ()
    indicators: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def format(self) -> str:
        """The format of most rows; `unknown` where there is none."""
        return max(self.formats, key=lambda name: self.formats[name]) if self.formats else "unknown"


def check(sources: Sequence[Source], wanted: Wanted | None = None) -> Checked:
    """Check files together, as one data set. Raises UnreadableDataError for one that cannot be."""
    wanted = wanted or Wanted()
    held_out, held_out_rows = held_out_prompts(wanted.held_out)
    asked = Asked(near=wanted.near, tokens=wanted.tokens, eval_prompts=held_out)
    run = _Run(wanted, asked)
    for number, source in enumerate(sources):
        run.file(number, source)
    run.end()
    findings = tuple(sorted(run.findings(sources), key=_rank))
    return Checked(
        sum(hits.total for hits in run.totals),
        dict(run.formats),
        findings,
        tuple(source.name for source in sources),
        run.usable,
        held_out_rows,
        (*_lacking(wanted), *wanted.lacking),
        run.indicators(),
    )


def _rank(finding: Finding) -> tuple[int, str, str]:
    return list(Severity).index(finding.severity), finding.code, str(finding.evidence.get("file"))


def _lacking(wanted: Wanted) -> tuple[str, ...]:
    """Say which rules could not look, since a library is not there."""
    import importlib.util

    names = {item.rule.name for item in wanted.rules}
    if "mojibake" in names and importlib.util.find_spec("ftfy") is None:
        return ("wrongly decoded text was not looked for: pip install ftfy",)
    return ()


def rows_of(source: Source, layout: Layout | None = None) -> Iterator[Example]:
    """Yield the rows of a file as examples; the format is learnt from the first ones."""
    layouts = Layouts(layout)
    records = read(source)
    head = list(islice(records, HEAD))
    layouts.learn(head)
    for record in chain(head, records):
        yield shape(record, layouts)


def held_out_prompts(sources: Sequence[Source]) -> tuple[Mapping[int, int], int]:
    """Return the keys of the held-out prompts, each with its row, and how many rows they are."""
    prompts: dict[int, int] = {}
    rows = 0
    for source in sources:
        for example in rows_of(source):
            rows += 1
            if example.usable:
                keys = keys_of(example)
                for key in (keys.prompt, keys.first):
                    if key:
                        prompts.setdefault(key, example.record.number)
    return prompts, rows


class _Run:
    """One check: what each rule found so far, in each file."""

    def __init__(self, wanted: Wanted, asked: Asked) -> None:
        self.wanted = wanted
        self.totals: list[Hits] = []
        self.formats: Counter[str] = Counter()
        self.usable = 0
        self._hits: dict[tuple[str, int], Hits] = {}
        rules = wanted.rules
        self._form: list[tuple[str, Look]] = [
            (item.rule.name, item.look) for item in rules if item.look and item.form
        ]
        self._looks: list[tuple[str, Look]] = [
            (item.rule.name, item.look) for item in rules if item.look and not item.form
        ]
        self._watches = [(item, item.watch(asked)) for item in rules if item.watch]
        self._mixed = any(item.rule.name == "mixed-formats" for item in rules)
        self._unplaced: list[tuple[int, Shown, Hits]] = []

    def file(self, number: int, source: Source) -> None:
        """Look at every row of a file."""
        total = Hits(source.name)
        self.totals.append(total)
        main = ""
        progress = self.wanted.progress
        for example in rows_of(source, self.wanted.layout):
            total.total += 1
            main = main or example.format
            self.row(number, source, example, main)
            if progress is not None and not total.total % EVERY:
                progress(source.name, total.total)

    def row(self, file: int, source: Source, example: Example, main: str) -> None:
        """Ask every rule about a row."""
        record = example.record
        if example.flaws or record.fault is not None or record.odd or not record.raw:
            for name, look in self._form:
                hit = look(example)
                if hit is not None:
                    self.hits(name, file, source.name).add(record.number, record.line, hit)
        if not example.usable:
            return
        self.usable += 1
        self.formats[example.format] += 1
        if example.format != main and self._mixed:
            words = f"is `{example.format}`, the first is `{main}`"
            hit = Hit(words, example.prompt or example.text)
            self.hits("mixed-formats", file, source.name).add(record.number, record.line, hit)
        example.keys = keys_of(example)
        for name, look in self._looks:
            hit = look(example)
            if hit is not None:
                self.hits(name, file, source.name).add(record.number, record.line, hit)
        for _, watch in self._watches:
            watch.see(file, example)
        if self.wanted.tokens is not None:
            self.wanted.tokens.see(file, example)

    def hits(self, name: str, file: int, shown: str) -> Hits:
        """Return the hits of a rule in a file."""
        key = (name, file)
        if key not in self._hits:
            self._hits[key] = Hits(shown)
        return self._hits[key]

    def end(self) -> None:
        """Take in what the watches found, in the order of the rows."""
        if self.wanted.tokens is not None:
            self.wanted.tokens.end()
        for item, watch in self._watches:
            self._take(item.rule.name, watch)
        for (_, file), hits in self._hits.items():
            hits.total = self.totals[file].total

    def _take(self, name: str, watch: Watch) -> None:
        found = sorted(watch.found(), key=lambda one: (one.file, one.row))
        for one in found:
            self.hits(name, one.file, self.totals[one.file].file).add(one.row, one.line, one.hit)
        for file, total in enumerate(self.totals):
            about = watch.about(file)
            if about is not None:
                self.hits(name, file, total.file).about = about

    def indicators(self) -> dict[str, Any]:
        """Return what was measured of each file in tokens."""
        tokens = self.wanted.tokens
        if tokens is None:
            return {}
        return {total.file: tokens.indicators(at) for at, total in enumerate(self.totals)}

    def findings(self, sources: Sequence[Source]) -> Iterator[Finding]:
        """Yield the findings of all rules in all files."""
        self._show(sources)
        for item in self.wanted.rules:
            for file in range(len(self.totals)):
                hits = self._hits.get((item.rule.name, file))
                if hits is not None and (hits.count or hits.about):
                    yield from item.rule.find(hits)

    def _show(self, sources: Sequence[Source]) -> None:
        """Read again the few rows that are shown and that no text was kept of."""
        for file, source in enumerate(sources):
            found = [hits for (_, at), hits in self._hits.items() if at == file]
            rows = {s.row for hits in found for s in hits.shown if s.line is None}
            if not rows:
                continue
            examples = _first(rows_of(source, self.wanted.layout), rows)
            by_row = {example.record.number: example for example in examples}
            for hits in found:
                hits.shown = [_placed(shown, by_row) for shown in hits.shown]


def _first(examples: Iterator[Example], rows: set[int]) -> Iterator[Example]:
    """Yield the rows of some numbers, reading no further than the last of them."""
    last = max(rows)
    for example in examples:
        if example.record.number in rows:
            yield example
        if example.record.number >= last:
            return


def _placed(shown: Shown, examples: Mapping[int, Example]) -> Shown:
    example = examples.get(shown.row)
    if shown.line is not None or example is None:
        return shown
    sample = shown.hit.sample or example.prompt or example.text
    return Shown(shown.row, example.record.line, shown.hit._replace(sample=sample))
