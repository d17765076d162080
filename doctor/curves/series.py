"""The one form of a training log: what every reader returns and every rule judges."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

NO_METRICS: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Record:
    """What was logged at one training step; None = not logged, NaN = logged as not finite."""

    step: float | None = None
    epoch: float | None = None
    loss: float | None = None
    grad_norm: float | None = None
    learning_rate: float | None = None
    tokens: float | None = None
    tokens_per_second: float | None = None
    memory_bytes: float | None = None


@dataclass(frozen=True, slots=True)
class EvalRecord:
    """One evaluation of one held-out set; `name` is empty where there is only one set."""

    step: float | None = None
    epoch: float | None = None
    loss: float | None = None
    name: str = ""
    metrics: Mapping[str, float] = field(default_factory=lambda: NO_METRICS)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; `at` is how many train records had been read by then."""

    kind: str
    at: int
    step: float | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in the log that could not be read; lines count from 1."""

    text: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """What is known of the run's plan, from the log itself."""

    learning_rate: float | None = None
    micro_batch: int | None = None
    accumulation: int | None = None
    effective_batch: int | None = None
    epochs: float | None = None
    max_steps: int | None = None


@dataclass(frozen=True)
class Run:
    """One log as read: records in the order of the file, and what could not be read of it.

    `quantities` are the names of all that was logged; they tell what kind of run it was.
    """

    source: str
    format: str
    train: tuple[Record, ...] = ()
    evals: tuple[EvalRecord, ...] = ()
    events: tuple[Event, ...] = ()
    problems: tuple[Problem, ...] = ()
    planned: Planned | None = None
    quantities: frozenset[str] = frozenset()

    @cached_property
    def judged(self) -> tuple[Record, ...]:
        """The records of one continuous run, steps rising: what the rules look at."""
        return continuous(self.train, self.events)

    @cached_property
    def curve(self) -> tuple[Record, ...]:
        """The judged records whose loss is a finite number."""
        return tuple(r for r in self.judged if r.loss is not None and math.isfinite(r.loss))

    @cached_property
    def losses(self) -> list[float]:
        """The losses of `curve`."""
        return [record.loss for record in self.curve if record.loss is not None]

    @cached_property
    def held_out(self) -> tuple[EvalRecord, ...]:
        """The evaluations to judge: one a step, newest counts; several sets by their mean."""
        return merged_evals(self.evals)

    @cached_property
    def peak_learning_rate(self) -> float | None:
        """The planned learning rate, else the greatest that was in force."""
        planned = self.planned.learning_rate if self.planned else None
        return planned or self.rate_reached()

    def rate_reached(self, step: float = math.inf) -> float | None:
        """Return the greatest learning rate that was in force up to a step."""
        rates = [
            record.learning_rate
            for record in self.judged
            if record.learning_rate is not None and (record.step or 0) <= step
        ]
        return max((rate for rate in rates if 0 < rate < math.inf), default=None)

    @cached_property
    def is_reinforcement(self) -> bool:
        """Say whether the loss is a policy loss, whose shape says nothing of learning.

        Rewards are logged, or more than a tenth of the losses are negative.
        """
        if any(name == "reward" or name.startswith("rewards/") for name in self.quantities):
            return True
        negative = sum(loss < 0 for loss in self.losses)
        return negative > len(self.losses) / 10


def continuous(train: Sequence[Record], events: Sequence[Event]) -> tuple[Record, ...]:
    """Return the one continuous run in a log that resumes, restarts or says things twice.

    A fresh start drops what came before it. Where a resumed run goes back to step s, the older
    records from s on are dropped. In a log without start events, going back to the first step
    begins another run, and the longest is taken.
    """
    starts = {event.at: event.text for event in events if event.kind == "start"}
    runs: list[list[Record]] = [[]]
    for number, record in enumerate(train):
        current = runs[-1]
        if current and starts.get(number) == "fresh":
            runs = [[record]]
        elif _goes_back(current, record):
            if not starts and len(current) > 1 and _goes_back(current[:1], record):
                runs.append([record])
                continue
            while current and _goes_back(current, record):
                current.pop()
            current.append(record)
        else:
            current.append(record)
    longest = max(len(run) for run in runs)
    return tuple(next(run for run in reversed(runs) if len(run) == longest))


def _goes_back(run: Sequence[Record], record: Record) -> bool:
    last = run[-1].step if run else None
    return last is not None and record.step is not None and record.step <= last


def merged_evals(evals: Sequence[EvalRecord]) -> tuple[EvalRecord, ...]:
    """Return one evaluation a step, in order of steps.

    The unnamed set is judged where there is one, else the mean over the named sets, at the
    steps where all of them were evaluated.
    """
    finite = [e for e in evals if e.loss is not None and math.isfinite(e.loss)]
    if any(not e.name for e in finite):
        finite = [e for e in finite if not e.name]
    names = {e.name for e in finite}
    at: dict[float, dict[str, EvalRecord]] = {}
    for number, record in enumerate(finite):
        key = record.step if record.step is not None else float(number // max(len(names), 1))
        at.setdefault(key, {})[record.name] = record
    return tuple(_mean(list(at[key].values())) for key in sorted(at) if len(at[key]) == len(names))


def _mean(sets: Sequence[EvalRecord]) -> EvalRecord:
    if len(sets) == 1:
        return sets[0]
    losses = [record.loss for record in sets if record.loss is not None]
    return EvalRecord(sets[0].step, sets[0].epoch, sum(losses) / len(losses))
