"""What was found of one rule in one file: how often, in which rows, and a few of them shown."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ftspec.spec.finding import Finding, Place, Severity
from ftspec.spec.rule import Rule

SHOWN = 5  # rows of a finding that are kept to be shown
LOOKED = 4000  # characters of a sample on either side of the place that is shown
MANY = 0xFFFFFFFF


class Hit(NamedTuple):
    """One row in which a rule found something.

    `words`: what is wrong there. `sample`: the text at fault as it stands: it is masked before it
    is cut to what is around `start`. `repaired`: what it would be. `kind`: which of the
    rule's kinds it is, counted in the evidence. `mild`: a finding of such hits alone is only
    information.
    """

    words: str = ""
    sample: str = ""
    start: int = 0
    repaired: str = ""
    kind: str = ""
    mild: bool = False
    line: int | None = None
    column: int | None = None

    def cut(self) -> Hit:
        """Return the hit with no more of its texts than is looked at where it is shown."""
        first, end = max(0, self.start - LOOKED), self.start + LOOKED
        if not first and len(self.sample) <= end and len(self.repaired) <= end:
            return self
        sample, repaired = self.sample[first:end], self.repaired[first:end]
        return self._replace(sample=sample, repaired=repaired, start=self.start - first)


class Shown(NamedTuple):
    """A hit with its row and line."""

    row: int
    line: int | None
    hit: Hit


class Found(NamedTuple):
    """A hit that a watch gives at the end: file and row numbers are those of the examples."""

    file: int
    row: int
    line: int | None
    hit: Hit


@dataclass(slots=True)
class Hits:
    """The rows of one file that a rule found something in, in the file's order.

    `about` is what a rule says of the file as a whole; it has no rows then. `places`: row, line
    and column of hits that stand at a line of their own, such as faults of JSON.
    """

    file: str
    total: int = 0  # rows of the file
    rows: array[int] = field(default_factory=lambda: array("I"))
    shown: list[Shown] = field(default_factory=list)
    kinds: dict[str, int] = field(default_factory=dict)
    grave: int = 0
    places: list[tuple[int, int, int | None]] = field(default_factory=list)
    about: Mapping[str, Any] = field(default_factory=dict)

    def add(self, row: int, line: int | None, hit: Hit) -> None:
        """Note a row; the first few are kept whole."""
        self.rows.append(min(row, MANY))
        self.grave += not hit.mild
        if hit.kind:
            self.kinds[hit.kind] = self.kinds.get(hit.kind, 0) + 1
        if hit.line is not None:
            self.places.append((row, hit.line, hit.column))
        if len(self.shown) < SHOWN:
            self.shown.append(Shown(row, line, hit.cut()))

    def put(self, row: int, line: int | None, hit: Hit) -> None:
        """Note a row that may stand before others; `settle` puts them in order."""
        if len(self.shown) == SHOWN and row < self.shown[-1].row:
            self.shown.pop()
        before = len(self.shown)
        self.add(row, line, hit)
        if len(self.shown) > before:
            self.shown.sort(key=lambda one: one.row)

    def settle(self) -> None:
        """Put rows in order that were not noted in it."""
        self.rows = array("I", sorted(self.rows))

    def take(self, later: Hits) -> None:
        """Note all that was found in rows further on in the file."""
        self.rows.extend(later.rows)
        self.grave += later.grave
        for kind, count in later.kinds.items():
            self.kinds[kind] = self.kinds.get(kind, 0) + count
        self.places += later.places
        self.shown += later.shown[: SHOWN - len(self.shown)]

    @property
    def count(self) -> int:
        """How many rows."""
        return len(self.rows)

    @property
    def share(self) -> float:
        """The share of the file's rows."""
        return self.count / self.total if self.total else 0.0


def told(
    rule: Rule[Hits], hits: Hits, title: str, *, help: str, confidence: float = 1.0, **more: Any
) -> Iterator[Finding]:
    """Yield the finding of a rule on rows; none where there are no hits.

    In the title `{rows}` becomes the number of rows with its noun ("3 rows", "1 row"), `{s}` the
    ending of a verb ("hold" for many, "holds" for one), `{are}` and `{have}` those verbs.
    """
    if not hits.count:
        return
    one = hits.count == 1
    number = f"{hits.count:,} row" if one else f"{hits.count:,} rows"
    first = hits.shown[0]
    line = first.hit.line or first.line
    place = (
        Place(hits.file, line, first.hit.column or 1, line, first.hit.column or 1) if line else None
    )
    evidence: dict[str, Any] = {
        "file": hits.file,
        "count": hits.count,
        "share": round(hits.share, 6),
        "of_rows": hits.total,
        "row": first.row,
        "rows": hits.rows.tolist(),
        "samples": [_sample(shown) for shown in hits.shown],
        **({"kinds": dict(sorted(hits.kinds.items()))} if hits.kinds else {}),
        **more,
    }
    yield rule.finding(
        _counted(title, number, one),
        found=writable(first.hit.words),
        help=help,
        evidence=evidence,
        confidence=confidence,
        severity=rule.severity if hits.grave else Severity.INFO,
        place=place,
    )


def writable(text: str) -> str:
    """Return a text that can be written as UTF-8: half characters become question marks."""
    return text.encode("utf-8", "replace").decode()


def _counted(title: str, number: str, one: bool) -> str:
    words = {
        "{rows}": number,
        "{s}": "s" if one else "",
        "{are}": "is" if one else "are",
        "{have}": "has" if one else "have",
    }
    for mark, word in words.items():
        title = title.replace(mark, word)
    return title


def _sample(shown: Shown) -> dict[str, Any]:
    from ftspec.doctor.data.mask import excerpt

    hit = shown.hit
    sample = {"row": shown.row, "line": hit.line or shown.line, "words": writable(hit.words)}
    if hit.sample:
        sample["text"] = excerpt(hit.sample, hit.start)
    if hit.repaired:
        sample["repaired"] = excerpt(hit.repaired, hit.start)
    return sample


def about_file(
    rule: Rule[Hits],
    hits: Hits,
    title: str,
    *,
    found: str = "",
    help: str,
    severity: Severity | None = None,
    **more: Any,
) -> Iterator[Finding]:
    """Yield the finding of a rule on a file as a whole."""
    evidence = {"file": hits.file, "rows": [], "count": 0, **more}
    yield rule.finding(title, found=found, help=help, evidence=evidence, severity=severity)
