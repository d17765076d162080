"""Read `events.jsonl`, which the emitted train.py writes: one JSON object a line, flushed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from ftspec.doctor.curves.log import Log
from ftspec.doctor.curves.readers.reader import Reader
from ftspec.doctor.curves.series import EvalRecord, Event, Planned, Problem, Record, Run
from ftspec.doctor.curves.values import finite, loss_of, number, positive, whole

FORMAT = "ftspec_events"
KINDS = ("start", "step", "eval", "checkpoint", "out-of-memory", "stop", "end")
MAX_PROBLEMS = 20  # said one by one; more are counted


@dataclass(slots=True)
class _Reading:
    train: list[Record] = field(default_factory=list)
    evals: list[EvalRecord] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    planned: Planned | None = None


def recognises(log: Log) -> bool:
    """Say whether one of the first lines is an event of ours."""
    for line in log.head.splitlines()[:5]:
        row = _object(line)
        if isinstance(row, dict) and row.get("event") in KINDS:
            return True
    return False


def read(log: Log) -> Run:
    """Read the events. A last line without its end is what a killed process leaves."""
    reading = _Reading()
    broken: tuple[int, str] | None = None
    for line_number, line in log.lines():
        if not line.strip():
            continue
        if broken:
            reading.problems.append(Problem(f"not a JSON object: {broken[1]}", broken[0]))
            broken = None
        row = _object(line)
        if isinstance(row, dict):
            _take(reading, row, line_number)
        else:
            broken = (line_number, _excerpt(line))
    if broken:
        text = "the last line is cut off: the writer was killed or is still writing"
        reading.problems.append(Problem(text, broken[0]))
    return Run(
        source=log.name,
        format=FORMAT,
        train=tuple(reading.train),
        evals=tuple(reading.evals),
        events=tuple(reading.events),
        problems=_at_most(reading.problems),
        planned=reading.planned,
    )


def _take(reading: _Reading, row: dict[str, Any], line: int) -> None:
    kind = row.get("event")
    step = finite(row.get("step"))
    if kind == "step":
        record = _record(row, step)
        reading.train.append(record)
        if step is None or record.loss is None:
            missing = "step" if step is None else "loss"
            reading.problems.append(Problem(f"a step event without a {missing}", line))
    elif kind == "eval":
        reading.evals.append(EvalRecord(step, finite(row.get("epoch")), loss_of(row)))
    elif kind == "start":
        fresh = row.get("resumed_from") is None
        reading.events.append(Event("start", len(reading.train), step, "" if fresh else "resumed"))
        if fresh:
            reading.events[-1] = Event("start", len(reading.train), step, "fresh")
        reading.planned = _planned(row)
    elif isinstance(kind, str):
        text = next((str(row[key]) for key in ("message", "reason", "path") if row.get(key)), "")
        reading.events.append(Event(kind, len(reading.train), step, text))
    else:
        reading.problems.append(Problem("a JSON object without `event`", line))


def _record(row: dict[str, Any], step: float | None) -> Record:
    return Record(
        step=step,
        epoch=finite(row.get("epoch")),
        loss=loss_of(row),
        grad_norm=number(row.get("grad_norm")),
        learning_rate=number(row.get("learning_rate")),
        tokens=number(row.get("tokens")),
        tokens_per_second=number(row.get("tokens_per_second")),
        memory_bytes=number(row.get("memory_bytes")),
    )


def _planned(row: dict[str, Any]) -> Planned:
    return Planned(
        learning_rate=positive(row.get("learning_rate")),
        micro_batch=whole(row.get("micro_batch")),
        accumulation=whole(row.get("accumulation")),
        effective_batch=whole(row.get("effective_batch")),
        epochs=positive(row.get("epochs")),
        max_steps=whole(row.get("total_steps")),
    )


def _object(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _excerpt(line: str) -> str:
    return line if len(line) <= 60 else line[:57] + "..."


def _at_most(problems: list[Problem]) -> tuple[Problem, ...]:
    if len(problems) <= MAX_PROBLEMS:
        return tuple(problems)
    rest = len(problems) - MAX_PROBLEMS
    return (*problems[:MAX_PROBLEMS], Problem(f"and {rest} more lines that cannot be used"))


READER = Reader(FORMAT, "ftspec events", recognises, read)
