"""Read `events.jsonl`, which the emitted train.py writes: one JSON object a line, flushed."""

from __future__ import annotations

from typing import Any

from ftspec.doctor.curves.log import Log
from ftspec.doctor.curves.readers.builder import Builder
from ftspec.doctor.curves.readers.jsonl import parse, rows
from ftspec.doctor.curves.readers.reader import SURE, Reader
from ftspec.doctor.curves.series import EvalRecord, Planned, Run
from ftspec.doctor.curves.values import finite, loss_of, number, positive, whole

FORMAT = "ftspec_events"
KINDS = (
    "start",
    "step",
    "eval",
    "checkpoint",
    "passed-over",
    "out-of-memory",
    "disk-full",
    "failure",
    "stop",
    "end",
)
QUANTITIES = ("grad_norm", "learning_rate", "tokens", "tokens_per_second", "memory_bytes")


def score(log: Log) -> float:
    """Say whether one of the first lines of a window is an event of ours."""
    for window in log.windows:
        for line in window.splitlines()[:5] if '"event"' in window else ():
            row = parse(line)
            if isinstance(row, dict) and row.get("event") in KINDS:
                return SURE
    return 0.0


def read(log: Log) -> Run:
    """Read the events. A last line without its end is what a killed process leaves."""
    builder = Builder()
    steps: list[dict[str, Any]] = []
    for line, found in rows(log, builder):
        for row in found:
            if row.get("event") == "step" and _whole(row):
                steps.append(row)
                continue
            builder.rows(steps)
            steps = []
            _take(builder, row, line)
        builder.rows(steps)
        steps = []
    return builder.run(log.name, FORMAT)


def _whole(row: dict[str, Any]) -> bool:
    return type(row.get("loss")) is float and type(row.get("step")) is int


def _take(builder: Builder, row: dict[str, Any], line: int | None) -> None:
    kind = row.get("event")
    step = finite(row.get("step"))
    if kind == "step":
        loss = loss_of(row)
        builder.append({**_numbers(row), **_known(step=step, loss=loss)})
        if step is None or loss is None:
            missing = "step" if step is None else "loss"
            builder.problem(f"a step event without a {missing}", line)
    elif kind == "eval":
        builder.evaluation(EvalRecord(step, finite(row.get("epoch")), loss_of(row)))
    elif kind == "start":
        fresh = row.get("resumed_from") is None
        builder.event("start", "fresh" if fresh else "resumed", step=step, line=line)
        builder.planned = _planned(row)
    elif isinstance(kind, str):
        text = next((str(row[key]) for key in ("message", "reason", "path") if row.get(key)), "")
        phase = row.get("phase") if isinstance(row.get("phase"), str) else None
        builder.event(kind, text, step=step, phase=phase, line=line)
    else:
        builder.problem("a JSON object without `event`", line)


def _numbers(row: dict[str, Any]) -> dict[str, float]:
    found = _known(**{name: number(row.get(name)) for name in QUANTITIES})
    return {**found, **_known(epoch=finite(row.get("epoch")))}


def _known(**values: float | None) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}


def _planned(row: dict[str, Any]) -> Planned:
    return Planned(
        learning_rate=positive(row.get("learning_rate")),
        micro_batch=whole(row.get("micro_batch")),
        accumulation=whole(row.get("accumulation")),
        effective_batch=whole(row.get("effective_batch")),
        epochs=positive(row.get("epochs")),
        max_steps=whole(row.get("total_steps")),
        warmup_steps=whole(row.get("warmup_steps")),
        logging_steps=whole(row.get("logging_steps")),
        weight_decay=positive(row.get("weight_decay")),
        trained_parameters=whole(row.get("trained_parameters")),
        scheduler=row.get("scheduler") if isinstance(row.get("scheduler"), str) else None,
        precision=row.get("precision") if isinstance(row.get("precision"), str) else None,
    )


READER = Reader(FORMAT, "ftspec events", score, read)
