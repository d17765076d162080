"""Rows in, columns out: every reader gives what it reads to a Builder, key by key.

What a key means is decided once a shape of row, not once a row: a log has few shapes and may
have millions of rows.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from typing import Any

from ftspec.doctor.curves.columns import NOT_LOGGED, Records, stored
from ftspec.doctor.curves.readers.keys import Meaning, meaning
from ftspec.doctor.curves.readers.shapes import Shape, flattened, shape_of
from ftspec.doctor.curves.readers.steps import numbered, settled
from ftspec.doctor.curves.segments import Event
from ftspec.doctor.curves.series import EvalRecord, Planned, Problem, Run
from ftspec.doctor.curves.values import NAN, finite, number, of_total, whole
from ftspec.doctor.curves.words import count

MAX_PROBLEMS = 20  # said one by one; more are counted
MAX_SHAPES = 10_000
LOGGED_WITHOUT_LOSS = frozenset({"grad_norm", "reward"})  # where no loss is logged, a record
NO_LOSS = 10**6


class Builder:
    """Collects the records, evaluations, events and problems of one log."""

    def __init__(self, keys: Mapping[str, Meaning] | None = None) -> None:
        self.columns: dict[str, array[float]] = {}
        self.size = 0
        self.evals: list[EvalRecord] = []
        self.events: list[Event] = []
        self.problems: list[Problem] = []
        self.unused = 0
        self.planned = Planned()
        self.quantities: set[str] = set()
        self._evals_at: list[int] = []
        self._keys = keys or {}
        self._shapes: dict[tuple[str, ...], Shape] = {}
        self._rank = NO_LOSS
        self._loose: dict[str, float] = {}
        self._left, self._first_left = 0, Problem("")
        self._without_loss: list[dict[str, float]] = []

    def row(self, row: Mapping[str, Any], line: int | None = None) -> str:
        """Take a row of a log; say what it was: train, eval, both, loose, summary or other."""
        if None in row.values():
            row = self._without_nulls(row)
        names = tuple(row)
        shape = self._shapes.get(names) or self._new_shape(row)
        if shape.nested and tuple(flat := flattened(row)) != names:
            return self.row(flat, line)
        values = self._values(row, shape)
        step, epoch = finite(values.get("step")), finite(values.get("epoch"))
        if shape.kind in ("train", "both"):
            if shape.loss is not None and "loss" not in values:
                self.problem(f"the loss is not a number: {_short(row[shape.loss])}", line)
            self._record(values)
        elif shape.kind in ("loose", "eval") and len(values) > 1:
            self._keep(values)
        self._evaluations(row, shape, step, epoch)
        if shape.kind == "summary":
            self._settle()
            self.event("end", step=step, line=line)
        return shape.kind

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take many rows; neighbours that are alike go column by column, which is faster."""
        if len(set(map(len, rows))) == 1 and self._alike(tuple(rows[0]), rows):
            return
        for names, group in groupby(rows, key=tuple):
            alike = list(group)
            if len(alike) == 1 or not self._alike(names, alike):
                for row in alike:
                    self.row(row)

    def _alike(self, names: tuple[str, ...], rows: Sequence[Mapping[str, Any]]) -> bool:
        """Take rows of as many keys as there are names; say whether they have these and numbers."""
        if not self.takes(names):
            return False
        shape = self._shapes[names]
        try:
            # as many keys as names, and all of the names: the same keys
            values = zip(*map(itemgetter(*names), rows), strict=True) if len(names) > 1 else ()
            columns = dict(zip(names, values, strict=True))
            self._extend(shape, [columns[key] for key in shape.keys])
        except (KeyError, TypeError, OverflowError, ValueError):
            self._undo()
            return False
        return True

    def takes(self, names: tuple[str, ...]) -> bool:
        """Say whether rows with these keys are known to be records and nothing else."""
        shape = self._shapes.get(names)
        return shape is not None and shape.kind == "train" and not shape.nested and not self._loose

    def texts(self, names: tuple[str, ...], rows: Sequence[Sequence[str]]) -> None:
        """Take many rows of numbers as text, of keys that it `takes`. Raises ValueError."""
        shape = self._shapes[names]
        columns = dict(zip(names, zip(*rows, strict=True), strict=True))
        try:
            self._extend(shape, [list(map(float, columns[key])) for key in shape.keys])
        except ValueError:
            self._undo()
            raise

    def _extend(self, shape: Shape, values: Sequence[Sequence[float]]) -> None:
        size = len(values[0])
        for name in shape.columns:
            self._column(name)
        for name, factor, new in zip(shape.columns, shape.factors, values, strict=True):
            if NOT_LOGGED in new:
                raise ValueError(name)
            self.columns[name].extend(new if factor == 1.0 else [v * factor for v in new])
        gap = array("d", [NOT_LOGGED]) * size
        for name in self.columns.keys() - set(shape.columns):
            self.columns[name].extend(gap)
        self.size += size

    def evaluation(self, evaluation: EvalRecord) -> None:
        """Take an evaluation."""
        self.evals.append(evaluation)
        self._evals_at.append(self.size)

    def count_steps(self, every: int) -> None:
        """Number records that have no step by their place, from where the epoch goes back anew."""
        steps = numbered(self.columns.get("epoch"), self.size, every)
        if steps:
            self.columns["step"] = steps
        for place, at in enumerate(self._evals_at):
            if at and self.evals[place].step is None:
                self.evals[place] = replace(self.evals[place], step=steps[at - 1])

    def event(self, kind: str, text: str = "", **more: Any) -> None:
        """Note what happened, at this place among the records."""
        self.events.append(Event(kind, self.size, text=text, **more))

    def problem(self, text: str, line: int | None = None) -> None:
        """Note what could not be read: the first twenty word by word, the others counted."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(text, line))
        else:
            self.unused += 1

    def note(self, text: str) -> None:
        """Note that something was read and is not used."""
        self.problems.append(Problem(text, is_note=True))

    def leave(self, text: str, line: int) -> None:
        """Count a line that looks like a record and is not used; the first is shown."""
        self._left += 1
        if self._left == 1:
            self._first_left = Problem(_short(text.strip()), line)

    def plan(self, **known: Any) -> None:
        """Note what the log says of the run's plan; what is None says nothing."""
        self.planned = replace(self.planned, **{k: v for k, v in known.items() if v is not None})

    @property
    def last_step(self) -> float | None:
        """The step of the last record."""
        steps = self.columns.get("step")
        last = steps[-1] if steps else NOT_LOGGED
        return last if math.isfinite(last) else None

    def run(self, source: str, format: str) -> Run:
        """Return all that was collected."""
        self._settle()
        for values in self._without_loss if self._rank == NO_LOSS else ():
            self.append(values)
        self._judge_steps()
        problems = list(self.problems)
        if self.unused:
            problems.append(Problem(f"and {self.unused:,} more lines that cannot be used"))
        if self._left:
            lines = count(self._left, "line")
            said = f"{lines} with a loss not used, the first: {self._first_left.text}"
            problems.append(Problem(said, self._first_left.line))
        if self.planned.learning_rate is None and "learning_rate" in self.columns:
            rates = (r for r in self.columns["learning_rate"] if 0 < r < math.inf)
            self.plan(learning_rate=max(rates, default=None))
        return Run(
            source=source,
            format=format,
            train=Records(self.columns),
            evals=tuple(self.evals),
            events=tuple(self.events),
            problems=tuple(problems),
            planned=self.planned,
            quantities=frozenset(self.quantities),
        )

    def meaning(self, key: str) -> Meaning:
        """Return what a key means in this format."""
        return self._keys.get(key) or meaning(key)

    def _new_shape(self, row: Mapping[str, Any]) -> Shape:
        """Decide what is to be done with rows like this one."""
        meanings = {key: self.meaning(str(key)) for key in row}
        shape = shape_of(row, meanings, self._chosen)
        if len(self._shapes) < MAX_SHAPES:
            self._shapes[tuple(row)] = shape
            self.quantities.update(map(str, row))
        if shape.total is not None:
            self.plan(max_steps=whole(row[shape.total]))
        return shape

    def _chosen(self, loss: str, rank: int) -> bool:
        """Keep to one loss in the whole log, the best that there is."""
        if rank < self._rank:
            if self.size and self._rank < NO_LOSS:
                said = f"{self.size:,} records of another loss than `{loss}` are not used"
                self.note(said)
                self.columns, self.size, self._shapes = {}, 0, {}
            self._rank = rank
        return rank == self._rank

    def _column(self, name: str) -> array[float]:
        column = self.columns.get(name)
        if column is None:
            column = self.columns[name] = array("d", [NOT_LOGGED]) * self.size
        return column

    def _undo(self) -> None:
        for column in self.columns.values():
            del column[self.size :]

    def _values(self, row: Mapping[str, Any], shape: Shape) -> dict[str, float]:
        values = {}
        for name, key, factor in zip(shape.columns, shape.keys, shape.factors, strict=True):
            value = row[key]
            if type(value) is not float:
                value = self._value(value, name)
            if value is not None:
                values[name] = value * factor
        return values

    def _value(self, value: Any, name: str) -> float | None:
        result = number(value)
        if result is None and name == "step":
            counted = of_total(value)
            if counted:
                self.plan(max_steps=whole(counted[1]))
                return counted[0]
        return result

    def _record(self, values: dict[str, float]) -> None:
        loose = self._loose
        if loose and loose.get("step") == values.get("step"):
            values = {**loose, **values}
            self._loose = {}
        self._settle()
        self.append(values)

    def append(self, values: Mapping[str, float]) -> None:
        """Take a record whose quantities are known."""
        for name in values:
            if name not in self.columns:
                self._column(name)
        for name, column in self.columns.items():
            value = values.get(name, NOT_LOGGED)
            column.append(NAN if value == NOT_LOGGED and name in values else value)
        self.size += 1

    def _keep(self, values: dict[str, float]) -> None:
        """Keep what is logged apart from its loss until the row with the loss comes or came."""
        step = values.get("step")
        if step is not None and step == self.last_step and self.size:
            for name, value in values.items():
                if self._column(name)[-1] == NOT_LOGGED:
                    self.columns[name][-1] = stored(value)
        elif self._loose and step is not None and self._loose.get("step") == step:
            self._loose.update(values)
        else:
            self._settle()
            self._loose = values

    def _settle(self) -> None:
        """Put aside what no loss came for: in a log without any loss it is the records."""
        loose, self._loose = self._loose, {}
        if self._rank == NO_LOSS and LOGGED_WITHOUT_LOSS & loose.keys():
            self._without_loss.append(loose)

    def _evaluations(
        self, row: Mapping[str, Any], shape: Shape, step: float | None, epoch: float | None
    ) -> None:
        for name, key, metric_keys in shape.evals:
            loss = NAN if row[key] is None else number(row[key])
            metrics = {}
            for metric, metric_key in metric_keys:
                value = number(row[metric_key])
                if value is not None:
                    metrics[metric] = value
            if loss is not None:
                step = self.last_step if step is None and epoch is None else step
                self.evaluation(EvalRecord(step, epoch, loss, name, metrics))

    def _without_nulls(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """Leave out what is null; the loss is NaN then, unless the row says nothing else either."""
        kept = {key: value for key, value in row.items() if value is not None}
        meanings = {key: self.meaning(str(key)) for key in row}
        losses = [key for key, what in meanings.items() if what.role in ("loss", "eval-loss")]
        logged = [key for key, what in meanings.items() if what.role == "quantity"]
        silent = logged and not any(key in kept for key in logged)
        if losses and not silent and not any(key in kept for key in losses):
            train = [key for key in losses if meanings[key].role == "loss"]
            kept[(train or losses)[0]] = NAN
        return kept

    def _judge_steps(self) -> None:
        """Settle what the steps are; evaluations move with them."""
        counted = settled(self.columns, self.size)
        if counted is None:
            return
        for place, at in enumerate(self._evals_at):
            if at and self.evals[place].step is not None:
                self.evals[place] = replace(self.evals[place], step=counted[at - 1])


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
