"""Training loss over held-out loss, evaluation by evaluation."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter

from ftspec.doctor.curves.series import EvalRecord, Run
from ftspec.doctor.curves.statistics import median

RECORDS = 5  # training records before an evaluation that its loss is compared with


@dataclass(frozen=True, slots=True)
class Scale:
    """The median ratio over the later half of the evaluations, its extremes, and their number."""

    ratio: float
    lowest: float
    highest: float
    evaluations: int


def scale(run: Run) -> Scale | None:
    """Return training loss over held-out loss; None where they do not stand side by side.

    They are matched by steps, or by epochs where the log prints no steps. The later half is
    taken: at the start training loss is an average over a steep fall.
    """
    ratios = []
    for place, record in _timed(run):
        near = run.losses[max(0, place - RECORDS) : place]
        if near and record.loss and record.loss > 0:
            ratios.append(median(near) / record.loss)
    later = ratios[len(ratios) // 2 :]
    return Scale(median(later), min(later), max(later), len(ratios)) if later else None


def _timed(run: Run) -> Iterator[tuple[int, EvalRecord]]:
    """Yield each evaluation with the number of training records before it."""
    for when in (attrgetter("step"), attrgetter("epoch")):
        times = [when(record) for record in run.curve]
        known = [record for record in run.held_out if when(record) is not None]
        if known and None not in times:
            yield from ((bisect_right(times, when(record)), record) for record in known)
            return
