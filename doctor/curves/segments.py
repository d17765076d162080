"""The continuous pieces of a log that resumes, restarts or says things twice."""

from __future__ import annotations

import operator
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from ftspec.doctor.curves.columns import NOT_LOGGED, Records

ALIKE = 5  # as many losses the same as at the start: the same rows again, no new run


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; `at` is how many train records had been read by then.

    Kinds: "start" (text "fresh" or "resumed" where known), "resume", "checkpoint",
    "out-of-memory" (text: the error's line; `phase`: load, train, evaluate, save, merge,
    generate or None), "error" (a traceback's last line), "killed", "stop" (interrupted by hand
    or by a signal), "end" (finished). `line` counts from 1.
    """

    kind: str
    at: int
    step: float | None = None
    text: str = ""
    phase: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """Records `start` to `end` (exclusive) of `train`, and the kind of boundary before them.

    "first"; "resumed" (a resume was logged, or the steps go back a part of the way); "restarted"
    (a fresh start was logged, or the steps go back to the beginning); "repeated" (they go back
    to the beginning and the losses are those that stood there).
    """

    start: int
    end: int
    kind: str


def segments(train: Records, events: Sequence[Event]) -> tuple[Segment, ...]:
    """Return the pieces of a log in its order. A step that is only said twice parts nothing."""
    starts = _starts(events, len(train))
    found: list[Segment] = []
    begin, kind, run = 0, "first", 0  # run: where the run began that this piece belongs to
    clock = _clock(train)
    for place in _boundaries(clock, starts):
        found.append(Segment(begin, place, kind))
        begin, kind = place, _kind(train, clock, run, place, starts)
        run = run if kind == "resumed" else place
    return (*found, Segment(begin, len(train), kind)) if len(train) else ()


def judged_rows(train: Records, events: Sequence[Event]) -> range | array[int]:
    """Return the rows of the one continuous run to judge.

    A logged fresh start drops what came before it. Where a resumed run goes back to step s, the
    older records from s on are dropped. Where steps go back to the beginning without a logged
    start, another run begins, and the longest is taken; of two alike, the later.
    """
    clock, parts = _clock(train), segments(train, events)
    if len(parts) == 1 and _rises(clock):
        return range(len(train))
    fresh = {event.at for event in events if event.kind == "start" and event.text == "fresh"}
    runs: list[array[int]] = []
    for part in parts:
        rows = _newest(clock, part)
        if part.kind == "resumed" and runs:
            _cut(runs[-1], clock, rows)
            runs[-1].extend(rows)
        elif part.start in fresh:
            runs = [rows]
        else:
            runs.append(rows)
    longest = max(map(len, runs), default=0)
    return next((rows for rows in reversed(runs) if len(rows) == longest), range(0))


@dataclass(frozen=True, slots=True)
class _Clock:
    """What rises in one continuous run: the step, else the epoch, which many records share."""

    values: array[float]
    exact: bool


def _clock(train: Records) -> _Clock | None:
    steps = train.raw("step")
    if steps:
        return _Clock(steps, exact=True)
    epochs = train.raw("epoch")
    return _Clock(epochs, exact=False) if epochs else None


def _rises(clock: _Clock | None) -> bool:
    if clock is None:
        return True
    compare = operator.lt if clock.exact else operator.le
    return all(map(compare, clock.values, islice(clock.values, 1, None)))


def _starts(events: Sequence[Event], size: int) -> dict[int, str]:
    """Return what was logged of starts, by the record that follows."""
    starts = {}
    for event in events:
        if event.kind in ("start", "resume") and event.at < size:
            fresh = event.kind == "start" and event.text != "resumed"
            starts[event.at] = "restarted" if fresh else "resumed"
    return starts


def _boundaries(clock: _Clock | None, starts: dict[int, str]) -> Iterator[int]:
    if clock is None or _rises(clock):
        yield from sorted(place for place in starts if place > 0)
        return
    last = NOT_LOGGED
    for place, now in enumerate(clock.values):
        if (now < last and now != NOT_LOGGED) or (place in starts and place > 0):
            yield place
        if now != NOT_LOGGED:
            last = now


def _kind(
    train: Records, clock: _Clock | None, run: int, place: int, starts: dict[int, str]
) -> str:
    if place in starts:
        return starts[place]
    if starts or clock is None or clock.values[place] > clock.values[run]:
        return "resumed"
    losses = train.raw("loss") or array("d")
    again = losses[place : place + ALIKE]
    same = len(again) == ALIKE and again == losses[run : run + ALIKE]
    return "repeated" if same else "restarted"


def _newest(clock: _Clock | None, part: Segment) -> array[int]:
    """Return the rows of a piece, of each step the newest."""
    rows = range(part.start, part.end)
    if clock is None or not clock.exact:
        return array("q", rows)
    steps, last = clock.values, part.end - 1
    return array(
        "q",
        (
            row
            for row in rows
            if row == last or steps[row] != steps[row + 1] or steps[row] == NOT_LOGGED
        ),
    )


def _cut(older: array[int], clock: _Clock | None, newer: Sequence[int]) -> None:
    """Drop the older rows from the first step of the newer ones on."""
    if clock is None:
        return
    values = clock.values
    first = next((values[row] for row in newer if values[row] != NOT_LOGGED), None)
    while first is not None and older and values[older[-1]] >= first:
        older.pop()
