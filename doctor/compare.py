"""Several runs beside each other: a table, and which is the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.statistics import median, noise_scale
from ftspec.doctor.diagnose import Diagnosed, Diagnosis
from ftspec.doctor.verdict import Verdict, judge, steps_of

TAIL = 0.1  # of the records: what "final" is the median of
MOST_TAIL = 50


@dataclass(frozen=True, slots=True)
class Row:
    """One run in the table; None is not logged. Time is in seconds, noise a share of the loss."""

    name: str
    final: float | None
    best: float | None
    best_step: float | None
    last_held_out: float | None
    steps: float | None
    tokens: float | None
    seconds: float | None
    noise: float | None
    findings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the row in the form that programs read."""
        return {
            "source": self.name,
            "final_loss": self.final,
            "best_held_out_loss": self.best,
            "best_step": self.best_step,
            "last_held_out_loss": self.last_held_out,
            "steps": self.steps,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "noise": self.noise,
            "findings": list(self.findings),
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """All runs in a table, a verdict on each two, and the one best of all where there is one."""

    runs: tuple[Diagnosed, ...]
    rows: tuple[Row, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def best(self) -> int | None:
        """The run that is better than each other one, None where there is no such run."""
        for place in range(len(self.rows)):
            mine = [verdict for verdict in self.verdicts if place in verdict.pair]
            if all(verdict.better == place for verdict in mine):
                return place
        return None

    def as_json(self) -> dict[str, Any]:
        """Return the comparison in the form that programs read."""
        names = [row.name for row in self.rows]
        return {
            "runs": [row.as_json() for row in self.rows],
            "best": None if self.best is None else names[self.best],
            "verdicts": [verdict.as_json(names) for verdict in self.verdicts],
        }


def compare(diagnosis: Diagnosis) -> Comparison | None:
    """Compare the runs that have a loss; None where there are not two of them."""
    runs = tuple(item for item in diagnosis.runs if item.run.losses)
    if len(runs) < 2:
        return None
    rows = tuple(_row(item) for item in runs)
    pairs = combinations(range(len(runs)), 2)
    verdicts = tuple(judge(pair, runs) for pair in pairs)
    return Comparison(runs, rows, verdicts)


def _row(item: Diagnosed) -> Row:
    run = item.run
    held_out = [e for e in run.held_out if e.loss is not None]
    best = min(held_out, key=lambda e: e.loss or 0.0, default=None)
    losses = run.losses
    level = median(losses[len(losses) // 2 :])
    return Row(
        run.source,
        median(_tail(losses)),
        best.loss if best else None,
        best.step if best else None,
        held_out[-1].loss if held_out else None,
        steps_of(run),
        max((value for value in run.column("tokens") if value is not None), default=None),
        _seconds(run),
        noise_scale(losses[len(losses) // 2 :]) / level if level > 0 and len(losses) > 5 else None,
        tuple(f.name for f in item.findings if f.severity.value != "info"),
    )


def _tail(losses: Sequence[float]) -> Sequence[float]:
    return losses[-max(1, min(MOST_TAIL, round(TAIL * len(losses)))) :]


def _seconds(run: Run) -> float | None:
    """Return the training time that the log tells of: seconds a step, or tokens and their rate."""
    each = [value for value in run.column("step_seconds") if value is not None]
    steps = steps_of(run)
    if each and steps:
        return median(each) * steps
    rates = [value for value in run.column("tokens_per_second") if value]
    tokens = max((value for value in run.column("tokens") if value is not None), default=None)
    return tokens / median(rates) if rates and tokens else None
