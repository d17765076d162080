"""What becomes of each row when data is cleaned: it stays, is repaired, or is set aside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from ftspec.doctor.data.catalogue import RULES
from ftspec.doctor.data.example import Example, keys_of
from ftspec.doctor.data.fixes import FIXES, ROUNDS, repaired
from ftspec.doctor.data.hits import Hit, writable
from ftspec.doctor.data.layout import HEAD, Layout, Layouts
from ftspec.doctor.data.readers import read
from ftspec.doctor.data.readers.source import Source
from ftspec.doctor.data.record import Record
from ftspec.doctor.data.rule import Asked
from ftspec.doctor.data.shape import shape

PASSES = 6  # what is set aside may change what the rest is judged by


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a row is set aside: the rule, and what it found there."""

    code: str
    name: str
    words: str


@dataclass(frozen=True, slots=True)
class Decision:
    """A row, its value as it will be written, the repairs that changed it, or why it goes."""

    record: Record
    value: Any
    example: Example
    repairs: tuple[str, ...] = ()
    reason: Reason | None = None


def decisions(source: Source, names: Sequence[str], layout: Layout | None) -> Iterator[Decision]:
    """Yield what becomes of every row by itself, in order."""
    layouts = Layouts(layout)
    records = read(source)
    head = list(islice(records, HEAD))
    layouts.learn(head)
    rules = [item for item in RULES if item.look and item.rule.name in names]
    for record in chain(head, records):
        yield _decide(record, layouts, rules)


def _decide(record: Record, layouts: Layouts, rules: Sequence[Any]) -> Decision:
    value, changed = record.value, dict[str, None]()
    example = shape(record, layouts)
    hits = _hits(example, rules)
    for _ in range(ROUNDS):
        flagged = tuple(name for name in hits if FIXES[name].repair or name == "no-input-text")
        if not flagged:
            break
        try:
            value, done = repaired(value, flagged)
        except RecursionError:
            break
        if not done:
            break
        changed.update(dict.fromkeys(done))
        example = shape(record._replace(value=value, raw=""), layouts)
        hits = _hits(example, rules)
    reason = next((_reason(name, hit) for name, hit in hits.items() if _goes(name, hit)), None)
    return Decision(record, value, example, tuple(changed), reason)


def _hits(example: Example, rules: Sequence[Any]) -> dict[str, Hit]:
    found = {}
    for item in rules:
        if item.form or example.usable:
            hit = item.look(example)
            if hit is not None:
                found[item.rule.name] = hit
    return found


def _goes(name: str, hit: Hit) -> bool:
    """Say whether a hit sets the row aside; a variable not filled in can still be filled in."""
    fix = FIXES[name]
    return fix.repair is None and name != "no-input-text" and hit.kind != "variable"


def _reason(name: str, hit: Hit) -> Reason:
    code = next(item.rule.code for item in RULES if item.rule.name == name)
    return Reason(code, name, writable(hit.words))


def set_aside(
    source: Source, names: Sequence[str], layout: Layout | None, asked: Asked
) -> dict[int, Reason]:
    """Return the rows that go because of other rows: duplicates, leakage, a file's habit.

    Rows that go by themselves are not compared. Judged again until nothing more goes, where a
    rule looks at the file's habit.
    """
    gone: dict[int, Reason] = {}
    rules = [item for item in RULES if item.watch and item.rule.name in names]
    if not rules:
        return gone
    again = any(item.rule.name not in ("duplicate", "leakage") for item in rules)
    for _ in range(PASSES if again else 1):
        watches = [(item.rule.name, item.watch(asked)) for item in rules if item.watch]
        for decision in decisions(source, names, layout):
            number, example = decision.record.number, decision.example
            if decision.reason is None and number not in gone and example.usable:
                example.keys = keys_of(example)
                for _, watch in watches:
                    watch.see(0, example)
        more: dict[int, Reason] = {}
        for name, watch in watches:
            for found in watch.found():
                more.setdefault(found.row, _reason(name, found.hit))
        if not more:
            break
        gone.update(more)
    return gone
