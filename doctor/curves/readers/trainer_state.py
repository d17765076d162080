"""Read the `trainer_state.json` of the Hugging Face Trainer (and TRL, Axolotl, Unsloth, …).

Old and new: with and without `grad_norm`; NaN and Infinity as bare tokens; several evaluation
sets as `eval_<name>_loss`; numbers in quotes. The last row is the run's summary (`train_loss` is
the average over the run) and no record. A bare list of such rows, as people save
`trainer.state.log_history`, is read too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ftspec.doctor.curves.log import Log
from ftspec.doctor.curves.readers.reader import Reader
from ftspec.doctor.curves.series import EvalRecord, Event, Planned, Problem, Record, Run
from ftspec.doctor.curves.values import finite, loss_of, number, positive, whole
from ftspec.doctor.curves.words import count

FORMAT = "hf_trainer_state"
MAX_PROBLEMS = 20

_EVAL_LOSS = re.compile(r"eval_(?:(.+)_)?loss")
_NOT_A_METRIC = re.compile(r".*(runtime|_per_second|_samples|_num_tokens|mem_.*|jit_.*)")
_ROWS = re.compile(r'"log_history"\s*:\s*\[')


def recognises(log: Log) -> bool:
    """Say whether the log is an object with `log_history`, or a list of its rows."""
    head = log.head.lstrip()
    if head.startswith("{"):
        return '"log_history"' in head or '"global_step"' in head
    return head.startswith("[") and ('"loss"' in head or '_loss"' in head)


def read(log: Log) -> Run:
    """Read the rows; of a file that is cut off or broken, those before the fault."""
    state, rows, problems = _load(log.text())
    train: list[Record] = []
    evals: list[EvalRecord] = []
    events: list[Event] = []
    quantities: set[str] = set()
    for place, row in enumerate(rows):
        if not isinstance(row, dict):
            problems.append(Problem(f"row {place + 1} of the log is not an object"))
            continue
        quantities.update(row)
        if "train_runtime" in row:
            events.append(Event("end", len(train), finite(row.get("step"))))
            continue
        if "loss" in row:
            train.append(_record(row))
            if train[-1].loss is None:
                problems.append(Problem(f"row {place + 1}: the loss is not a number"))
        evals += _evals(row)
    if len(problems) > MAX_PROBLEMS:
        more = Problem(f"and {len(problems) - MAX_PROBLEMS} more rows that cannot be used")
        problems = [*problems[:MAX_PROBLEMS], more]
    return Run(
        source=log.name,
        format=FORMAT,
        train=tuple(train),
        evals=tuple(evals),
        events=tuple(events),
        problems=tuple(problems),
        planned=_planned(state, train),
        quantities=frozenset(quantities),
    )


def _load(text: str) -> tuple[Mapping[str, Any], list[Any], list[Problem]]:
    try:
        whole_file = json.loads(text)
    except (ValueError, RecursionError) as error:
        read_rows, line = _rows_before_the_fault(text)
        why = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
        said = f"broken JSON ({why}); {count(len(read_rows), 'row')} before it could be read"
        return {}, read_rows, [Problem(said, line)]
    if isinstance(whole_file, list):
        return {}, whole_file, []
    rows = whole_file.get("log_history") if isinstance(whole_file, dict) else None
    if not isinstance(rows, list):
        return {}, [], [Problem("`log_history` is not a list")]
    return whole_file, rows, []


def _rows_before_the_fault(text: str) -> tuple[list[Any], int]:
    """Return the whole rows at the start of `log_history`, and the line where reading ended."""
    opening = _ROWS.search(text)
    at = opening.end() if opening else text.find("[") + 1
    decoder, rows = json.JSONDecoder(), []
    while at:
        start = re.compile(r"[\s,]*").match(text, at)
        at = start.end() if start else at
        try:
            row, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        rows.append(row)
    return rows, text.count("\n", 0, at) + 1


def _record(row: Mapping[str, Any]) -> Record:
    rate = row.get("learning_rate", row.get("lr"))
    return Record(
        step=finite(row.get("step")),
        epoch=finite(row.get("epoch")),
        loss=loss_of(row),
        grad_norm=number(row.get("grad_norm")),
        learning_rate=number(rate),
        tokens=number(row.get("num_tokens", row.get("num_input_tokens_seen"))),
        tokens_per_second=number(row.get("train_tokens_per_second")),
    )


def _evals(row: Mapping[str, Any]) -> list[EvalRecord]:
    found = []
    for key in row:
        match = _EVAL_LOSS.fullmatch(key)
        if match:
            name = match.group(1) or ""
            metrics = _metrics(row, f"eval_{name}_" if name else "eval_")
            step, epoch = finite(row.get("step")), finite(row.get("epoch"))
            found.append(EvalRecord(step, epoch, loss_of(row, key), name, metrics))
    return found


def _metrics(row: Mapping[str, Any], prefix: str) -> dict[str, float]:
    metrics = {}
    for key, value in row.items():
        figure = number(value)
        if figure is None or not key.startswith(prefix) or key.endswith("loss"):
            continue
        if not _NOT_A_METRIC.fullmatch(key):
            metrics[key.removeprefix(prefix)] = figure
    return metrics


def _planned(state: Mapping[str, Any], train: list[Record]) -> Planned:
    rates = [rate for record in train if (rate := positive(record.learning_rate))]
    return Planned(
        learning_rate=max(rates, default=None),
        micro_batch=whole(state.get("train_batch_size")),
        epochs=positive(state.get("num_train_epochs")),
        max_steps=whole(state.get("max_steps")),
    )


READER = Reader(FORMAT, "Hugging Face trainer_state.json", recognises, read)
