"""Training loss over held-out loss, evaluation by evaluation."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from ftspec.doctor.curves.series import Run
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

    The later half is taken: at the start training loss is an average over a steep fall.
    """
    steps = [record.step for record in run.curve]
    if not steps or any(step is None for step in steps):
        return None
    known = [step for step in steps if step is not None]
    ratios = []
    for record in run.held_out:
        place = bisect_right(known, record.step) if record.step is not None else 0
        near = run.losses[max(0, place - RECORDS) : place]
        if near and record.loss and record.loss > 0:
            ratios.append(median(near) / record.loss)
    later = ratios[len(ratios) // 2 :]
    return Scale(median(later), min(later), max(later), len(ratios)) if later else None
