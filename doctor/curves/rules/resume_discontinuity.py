"""A resumed run that does not go on where it stopped.

What it finds
    Places where a log resumes (the steps go back a part of the way, or a resume is logged), and
    where the first losses after it lie above the last ones before by more than 10 % and five
    times the noise of one record.

Why it matters
    Something was not loaded: the optimizer's moments, the scheduler, the weights of the adapter,
    or the place in the data. The run pays for it with what it takes to come back.

Evidence it needs
    3 losses before the break and 2 after it.

Example
    ```
    step 49,000: 5.07   step 49,100: 5.05   step 49,050: 8.20   step 49,100: 8.77
    ```

What to do
    Resume from a whole checkpoint (`optimizer.pt`, `scheduler.pt`, the random state) and not
    from weights alone. If the optimizer is lost, warm the learning rate up again.

References
    transformers `Trainer(resume_from_checkpoint)`; huggingface/sentence-transformers#3756,
    modelscope/ms-swift#6049. The noise is that of the records before the break.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from ftspec.doctor.curves.series import Run, Segment
from ftspec.doctor.curves.statistics import median, noise_scale
from ftspec.doctor.curves.words import at, count, figure, share
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

BEFORE, AFTER = 10, 5  # losses compared
LEAST_BEFORE, LEAST_AFTER = 3, 2
JUMP = 0.10  # of the loss before
JUMP_IN_NOISE = 5.0
FOR_NOISE = 200  # records before the break


@dataclass(frozen=True, slots=True)
class Break:
    """One resume after which the loss is higher: where, from what to what, and the rates."""

    place: int
    before: float
    after: float
    noise: float
    rate_before: float | None
    rate_after: float | None


def breaks(run: Run) -> list[Break]:
    """Return the resumes after which the loss does not go on where it was."""
    found = [_break(run, before, after) for before, after in pairwise(run.segments)]
    return [item for item in found if item is not None]


def _break(run: Run, before: Segment, after: Segment) -> Break | None:
    if after.kind != "resumed":
        return None
    first = run.train[after.start].step
    rows = run.train[max(before.start, before.end - FOR_NOISE) : before.end]
    # what was trained after the checkpoint that was resumed from is not what is gone back to
    kept = [r for r in rows if first is None or r.step is None or r.step <= first]
    earlier = [r.loss for r in kept if r.loss is not None and math.isfinite(r.loss)]
    later = [
        r.loss
        for r in run.train[after.start : min(after.end, after.start + AFTER)]
        if r.loss is not None and math.isfinite(r.loss)
    ]
    if len(earlier) < LEAST_BEFORE or len(later) < LEAST_AFTER:
        return None
    level, now, noise = median(earlier[-BEFORE:]), median(later), noise_scale(earlier)
    if now <= level + max(JUMP * abs(level), JUMP_IN_NOISE * noise):
        return None
    rates = (kept[-1].learning_rate, run.train[after.start].learning_rate)
    return Break(after.start, level, now, noise, *rates)


def find(run: Run) -> Iterator[Finding]:
    """Yield one finding for all resumes that do not go on where the run was."""
    found = breaks(run) if not run.is_reinforcement else []
    if not found:
        return
    worst = max(found, key=lambda item: item.after / item.before if item.before > 0 else 0.0)
    rise = share((worst.after - worst.before) / worst.before) if worst.before > 0 else "far"
    rates = [worst.rate_before, worst.rate_after]
    known = [rate for rate in rates if rate is not None]
    jumps = len(known) == 2 and known[1] > 1.3 * known[0]
    more = f"; {count(len(found), 'resume')} do so" if len(found) > 1 else ""
    yield RULE.finding(
        f"the run resumes at {at(run.train, worst.place)} and the loss is {rise} higher",
        found=f"{figure(worst.before)} before, {figure(worst.after)} after, noise "
        f"{figure(worst.noise)}{more}"
        + (f"; learning rate {figure(known[0])} to {figure(known[1])}" if jumps else ""),
        help="resume from a whole checkpoint: optimizer, scheduler and random state with the "
        "weights",
        evidence={
            "steps": [run.train[item.place].step or float(item.place + 1) for item in found][:20],
            "before": worst.before,
            "after": worst.after,
            "noise": worst.noise,
            "count": len(found),
            "learning_rates": rates,
            "threshold": worst.before + max(JUMP * worst.before, JUMP_IN_NOISE * worst.noise),
        },
        confidence=0.9 if worst.after > 1.25 * worst.before else 0.7,
    )


RULE = Rule("FT427", "resume-discontinuity", Severity.WARNING, find)
