"""The one form of a training log: what every reader returns and every rule judges."""

from __future__ import annotations

import math
import statistics
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import repeat
from types import MappingProxyType

from ftspec.doctor.curves.columns import NOT_LOGGED, Record, Records
from ftspec.doctor.curves.segments import Event, Segment, judged_rows, segments

__all__ = ["EvalRecord", "Event", "Planned", "Problem", "Record", "Records", "Run", "Segment"]

NO_METRICS: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class EvalRecord:
    """One evaluation of one held-out set; `name` is empty where there is only one set."""

    step: float | None = None
    epoch: float | None = None
    loss: float | None = None
    name: str = ""
    metrics: Mapping[str, float] = field(default_factory=lambda: NO_METRICS)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in the log that could not be read; lines count from 1.

    A note is about what was read and is not used.
    """

    text: str
    line: int | None = None
    is_note: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """What is known of the run's plan, from the log itself."""

    learning_rate: float | None = None
    micro_batch: int | None = None
    accumulation: int | None = None
    effective_batch: int | None = None
    epochs: float | None = None
    max_steps: int | None = None
    warmup_steps: int | None = None
    scheduler: str | None = None
    logging_steps: int | None = None
    weight_decay: float | None = None
    trained_parameters: int | None = None
    precision: str | None = None


@dataclass(frozen=True)
class Run:
    """One log as read: records in the order of the file, and what could not be read of it.

    `quantities` are the names of all that was logged; they tell what kind of run it was.
    """

    source: str
    format: str
    train: Sequence[Record] = field(default_factory=Records)
    evals: tuple[EvalRecord, ...] = ()
    events: tuple[Event, ...] = ()
    problems: tuple[Problem, ...] = ()
    planned: Planned | None = None
    quantities: frozenset[str] = frozenset()

    @cached_property
    def _rows(self) -> Records:
        return Records.of(self.train)

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The continuous pieces of `train`, in the order of the file."""
        return segments(self._rows, self.events)

    @cached_property
    def judged(self) -> Records:
        """The records of one continuous run, steps rising: what the rules look at."""
        rows = judged_rows(self._rows, self.events)
        return self._rows if isinstance(rows, range) and rows else self._rows.at(rows)

    @cached_property
    def curve(self) -> Records:
        """The judged records whose loss is a finite number."""
        losses = self.judged.raw("loss") or ()
        if losses and all(map(math.isfinite, losses)):
            return self.judged
        places = self.judged.places
        return self._rows.at(
            row for row, loss in zip(places, losses, strict=False) if math.isfinite(loss)
        )

    @cached_property
    def losses(self) -> list[float]:
        """The losses of `curve`."""
        return list(self.curve.raw("loss") or ())

    def column(self, name: str) -> list[float | None]:
        """Return another logged quantity of the judged records; None where it was not logged.

        Names are the same for all trainers: a field of Record, or `reward`, `reward_std`, `kl`,
        `entropy`, `clipped_ratio`, `completion_length`, `zero_reward_std`, `loss_scale`,
        `step_seconds`, `token_accuracy`, `perplexity`.
        """
        return self.judged.values(name)

    def thinned(self, limit: int) -> Records:
        """Return the curve with neighbours merged by their medians into at most `limit` records.

        For rules that are more than linear; of a short curve it is the curve itself.
        """
        return thin(self.curve, limit)

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
        rates = self.judged.raw("learning_rate")
        if rates is None:
            return None
        steps: Iterable[float] = self.judged.raw("step") or repeat(NOT_LOGGED)
        known = (rate for rate, at in zip(rates, steps, strict=False) if at <= step)
        return max((rate for rate in known if 0 < rate < math.inf), default=None)

    @cached_property
    def is_reinforcement(self) -> bool:
        """Say whether the loss is a policy loss, whose shape says nothing of learning.

        Rewards or a policy loss are logged, or more than a tenth of the losses are negative.
        """
        if any(map(_of_a_policy, self.quantities)):
            return True
        negative = sum(loss < 0 for loss in self.losses)
        return negative > len(self.losses) / 10


def _of_a_policy(quantity: str) -> bool:
    return (
        quantity == "reward"
        or "pg_loss" in quantity
        or quantity.startswith(("rewards/", "critic/rewards"))
    )


def thin(records: Records, limit: int) -> Records:
    """Merge groups of neighbours into one record each: the median of each quantity."""
    group = -(-len(records) // max(limit, 1))
    if group <= 1:
        return records
    merged = {}
    for name in records.columns:
        column = records.raw(name) or array("d")
        merged[name] = array(
            "d", (_middle(column[at : at + group]) for at in range(0, len(column), group))
        )
    return Records(merged)


def _middle(values: Sequence[float]) -> float:
    known = [value for value in values if value != NOT_LOGGED and not math.isnan(value)]
    if known:
        return statistics.median(known)
    return math.nan if any(map(math.isnan, values)) else NOT_LOGGED


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
