"""Check data files: parts of rows are looked at, and put together to findings by file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ftspec.doctor.data.catalogue import RULES
from ftspec.doctor.data.counted import Counted
from ftspec.doctor.data.example import Example, keys_of
from ftspec.doctor.data.hits import Hits, Shown
from ftspec.doctor.data.layout import HEAD, Layout, Layouts
from ftspec.doctor.data.part import Looker, Part
from ftspec.doctor.data.readers import read
from ftspec.doctor.data.readers.source import Source
from ftspec.doctor.data.rule import Asked, DataRule
from ftspec.doctor.data.rules import pii_presidio
from ftspec.doctor.data.shape import shape
from ftspec.doctor.data.tokens import Tokens
from ftspec.spec.finding import Finding, Severity

if TYPE_CHECKING:
    from ftspec.doctor.data.processes import Job

Progress = Callable[[str], None]  # is told how far the check is, in words
Engine = Callable[["Job"], Iterator[Part]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a check is asked for.

    `layout`: the format and columns that a spec names. `held_out`: files that are evaluated on.
    `near`: look for near-duplicates as well. `rules`: which are asked. `tokens`: counts rows in
    tokens. `lacking`: what could not be had for it, in words. `most`: no more rows of a file are
    looked at. `presidio`: ask Presidio for names of persons as well.
    """

    layout: Layout | None = None
    held_out: tuple[Source, ...] = ()
    near: bool = False
    rules: tuple[DataRule, ...] = RULES
    progress: Progress | None = None
    tokens: Tokens | None = None
    lacking: tuple[str, ...] = ()
    most: int | None = None
    presidio: bool = False


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


def check(
    sources: Sequence[Source], wanted: Wanted | None = None, processes: int | Engine = 1
) -> Checked:
    """Check files together, as one data set, with as many processes as are asked for.

    In their place may stand another engine that looks at parts. What is found does not depend on
    who looks. Raises UnreadableDataError for a file that cannot be read.
    """
    wanted = wanted or Wanted()
    held_out, held_out_rows = held_out_prompts(wanted.held_out, wanted.most)
    total = _Total(wanted, held_out, sources)
    for part in _parts(sources, wanted, held_out, processes):
        total.take(part)
    total.end()
    findings = tuple(sorted(total.findings(), key=_rank))
    return Checked(
        sum(hits.total for hits in total.files),
        dict(total.formats),
        findings,
        tuple(source.name for source in sources),
        total.usable,
        held_out_rows,
        (*_lacking(wanted), *wanted.lacking),
        total.indicators(),
    )


def _parts(
    sources: Sequence[Source], wanted: Wanted, held_out: Mapping[int, int], processes: int | Engine
) -> Iterator[Part]:
    if wanted.most is not None or processes == 1:
        analyzer = pii_presidio.engine() if wanted.presidio else None
        asked = Asked(near=wanted.near, eval_prompts=held_out, presidio=analyzer)
        looker = Looker(wanted.rules, asked, wanted.layout, wanted.tokens, most=wanted.most)
        yield from looker.parts(sources)
        return
    from ftspec.doctor.data.processes import Job, parts_of

    names = tuple(item.rule.name for item in wanted.rules)
    counting = wanted.tokens.counting if wanted.tokens else None
    job = Job(
        tuple(sources),
        wanted.layout,
        names,
        wanted.near,
        held_out,
        counting,
        wanted.presidio,
    )
    yield from parts_of(job, processes) if isinstance(processes, int) else processes(job)


def _rank(finding: Finding) -> tuple[int, str, str]:
    return list(Severity).index(finding.severity), finding.code, str(finding.evidence.get("file"))


def _lacking(wanted: Wanted) -> tuple[str, ...]:
    """Say which rules could not look, since a library is not there."""
    import importlib.util

    names = {item.rule.name for item in wanted.rules}
    if "mojibake" in names and importlib.util.find_spec("ftfy") is None:
        return ("wrongly decoded text was not looked for: pip install ftfy",)
    return ()


def rows_of(
    source: Source, layout: Layout | None = None, numbers: Collection[int] = ()
) -> Iterator[Example]:
    """Yield the rows of a file as examples; the format is learnt from the first ones.

    `numbers`: only these rows, and no reading on after the last of them.
    """
    layouts, last = Layouts(layout), max(numbers, default=0)
    records = read(source, lambda number: not last or number <= HEAD or number in numbers)
    head = list(islice(records, HEAD))
    layouts.learn(head)
    for record in chain(head, records):
        if not last or record.number in numbers:
            yield shape(record, layouts)
        if record.number == last:
            return


def held_out_prompts(
    sources: Sequence[Source], most: int | None = None
) -> tuple[Mapping[int, int], int]:
    """Return the keys of the held-out prompts, each with its row, and how many rows they are."""
    prompts: dict[int, int] = {}
    rows = 0
    for source in sources:
        for example in islice(rows_of(source), most):
            rows += 1
            if example.usable:
                keys = keys_of(example)
                for key in (keys.prompt, keys.first):
                    if key:
                        prompts.setdefault(key, example.record.number)
    return prompts, rows


class _Total:
    """One check: what each rule found so far, in each file."""

    def __init__(
        self, wanted: Wanted, held_out: Mapping[int, int], sources: Sequence[Source]
    ) -> None:
        self._wanted, self._sources = wanted, sources
        self._counted = _counted(wanted)
        asked = Asked(near=wanted.near, eval_prompts=held_out, counted=self._counted)
        self.files = [Hits(source.name) for source in sources]
        self.formats: Counter[str] = Counter()
        self.usable = 0
        self._hits: dict[tuple[str, int], Hits] = {}
        self._watches = [(item.rule.name, item.watch(asked)) for item in wanted.rules if item.watch]

    def take(self, part: Part) -> None:
        """Take in the next part."""
        total = self.files[part.file]
        total.total += part.rows
        self.usable += part.usable
        self.formats.update(part.formats)
        for name, hits in part.hits.items():
            self._of(name, part.file).take(hits)
        for (_, watch), later in zip(self._watches, part.watches, strict=True):
            watch.take(later)
        if self._counted is not None and part.counted is not None:
            self._counted.take(part.counted)
        share = f"{part.share:.0%}".replace("%", " %")
        self._tell(f"{total.file}: {total.total:,} rows, {share}")

    def _tell(self, words: str) -> None:
        if self._wanted.progress is not None:
            self._wanted.progress(words)

    def _of(self, name: str, file: int) -> Hits:
        """Return the hits of a rule in a file."""
        key = (name, file)
        if key not in self._hits:
            self._hits[key] = Hits(self.files[file].file)
        return self._hits[key]

    def end(self) -> None:
        """Take in what the watches found."""
        self._tell("rows are held against one another")
        for name, watch in self._watches:
            files = set()
            for one in watch.found():
                self._of(name, one.file).put(one.row, one.line, one.hit)
                files.add(one.file)
            for file in files:
                self._of(name, file).settle()
            for file in range(len(self.files)):
                about = watch.about(file)
                if about is not None:
                    self._of(name, file).about = about
        for (_, file), hits in self._hits.items():
            hits.total = self.files[file].total

    def indicators(self) -> dict[str, Any]:
        """Return what was measured of each file in tokens."""
        if self._counted is None:
            return {}
        return {total.file: self._counted.indicators(at) for at, total in enumerate(self.files)}

    def findings(self) -> Iterator[Finding]:
        """Yield the findings of all rules in all files."""
        self._show()
        for item in self._wanted.rules:
            for file in range(len(self.files)):
                hits = self._hits.get((item.rule.name, file))
                if hits is not None and (hits.count or hits.about):
                    yield from item.rule.find(hits)

    def _show(self) -> None:
        """Read again the few rows that are shown and that no text was kept of."""
        for file, source in enumerate(self._sources):
            found = [hits for (_, at), hits in self._hits.items() if at == file]
            rows = {s.row for hits in found for s in hits.shown if s.line is None}
            if not rows:
                continue
            examples = rows_of(source, self._wanted.layout, rows)
            by_row = {example.record.number: example for example in examples}
            for hits in found:
                hits.shown = [_placed(shown, by_row) for shown in hits.shown]


def _counted(wanted: Wanted) -> Counted | None:
    if wanted.tokens is None:
        return None
    return Counted(wanted.tokens.counting.batch_size, wanted.tokens.counting.max_length)


def _placed(shown: Shown, examples: Mapping[int, Example]) -> Shown:
    example = examples.get(shown.row)
    if shown.line is not None or example is None:
        return shown
    sample = shown.hit.sample or example.prompt or example.text
    return Shown(shown.row, example.record.line, shown.hit._replace(sample=sample))
