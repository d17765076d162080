"""A loss that swings instead of falling.

What it finds
    Two kinds, in the last three quarters of the run. *Noise*: the records scatter around their
    own course by more than 30 % of the loss. *Waves*: they swing by 4 % or more with a period of
    their own, seen in the autocorrelation; a period that is an epoch is none. Small waves are
    reported as information only.

Why it matters
    A step is made from too few examples to know the direction: the run spends its steps going to
    and fro, and where it ends is chance.

Evidence it needs
    24 losses. Losses under a tenth of the start are not judged: late noise is relative to little.

Example
    ```
    step 10: 2.9   step 11: 1.2   step 12: 3.4   step 13: 0.9   step 14: 2.8
    ```

What to do
    A larger effective batch: twice, or four times where the noise is more than double what it
    should be; it falls with the square root of the batch. Waves without noise often come from
    batches sorted by length: then shuffle, and change nothing else.

References
    The rule (oscillates: the batch is too small) is the guide's. The noise of a gradient over its
    batch: McCandlish et al., An Empirical Model of Large-Batch Training, arXiv 1812.06162.
    Scatter on real healthy logs: median 4 %, at most 19 % (19 logs long enough).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ftspec.doctor.curves.rules import diverges
from ftspec.doctor.curves.rules.spikes import spikes_of
from ftspec.doctor.curves.series import Record, Run
from ftspec.doctor.curves.statistics import (
    autocorrelation,
    course,
    median,
    spread,
)
from ftspec.doctor.curves.words import at, figure, share, span
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

RECORDS = 24
SCATTER = 0.30  # of the level
WAVE = 0.04  # of the level: smaller waves are no matter
WAVE_WARNING = 0.10
PEAK = 0.45  # autocorrelation at the period
DIP = -0.30  # and before it, half a period on
OF_START = 0.10
MOST = 2000  # records looked at: the newest


@dataclass(frozen=True, slots=True)
class Swing:
    """Scatter around the course, as a share of the level; the period in records, or None."""

    first: int
    level: float
    scatter: float
    period: int | None
    peak: float


def swing(run: Run) -> Swing | None:
    """Measure how the last three quarters of a run swing, or None where that means nothing."""
    size = len(run.losses)
    if size < RECORDS or run.is_reinforcement or diverges.divergence(run):
        return None
    first = max(size // 4, size - MOST)
    spiking = {i for spike in spikes_of(run.losses) for i in range(spike.first, spike.last + 1)}
    kept = [i for i in range(first, size) if i not in spiking]
    losses = [run.losses[i] for i in kept]
    if len(losses) < RECORDS // 2:
        return None
    level, start = median(losses), max(run.losses[:3])
    smooth = course(losses, min(201, max(9, len(losses) // 4)) | 1)
    rest = [loss - level_here for loss, level_here in zip(losses, smooth, strict=True)]
    scatter = spread(rest)
    if level <= OF_START * start or level <= 0:
        return None
    period, peak = _period(rest, scatter)
    if period is not None and _is_an_epoch([run.curve[i] for i in kept], period):
        period = None
    return Swing(first, level, scatter / level, period, peak)


def _period(rest: Sequence[float], scatter: float) -> tuple[int | None, float]:
    """Return the lag of the highest autocorrelation after a dip, where it stands out."""
    centre = sum(rest) / len(rest)
    bound = 3 * scatter  # one spike must not make the whole correlation
    even = [max(-bound, min(bound, value - centre)) for value in rest]
    needed = max(PEAK, 4 / len(rest) ** 0.5)  # 2 / sqrt n is the 95 % band of white noise
    best, peak, dip = None, needed, 0.0
    for lag in range(1, len(even) // 4):
        here = autocorrelation(even, lag)
        if dip <= DIP and here > peak:
            best, peak = lag, here
        dip = min(dip, here)
    return best, peak if best else 0.0


def _is_an_epoch(curve: Sequence[Record], period: int) -> bool:
    first, last = curve[0].epoch, curve[-1].epoch
    if first is None or last is None or last <= first:
        return False
    epochs = period * (last - first) / (len(curve) - 1)
    return round(epochs) >= 1 and abs(epochs - round(epochs)) <= 0.15


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for a loss that swings."""
    seen = swing(run)
    if seen is None:
        return
    curve = run.curve
    noisy, wavy = seen.scatter >= SCATTER, seen.period is not None and seen.scatter >= WAVE
    if not noisy and not wavy:
        return
    strong = noisy or seen.scatter >= WAVE_WARNING
    batch = run.planned.effective_batch if run.planned else None
    with_batch = f" with an effective batch of {batch}" if batch else ""
    every = f", in waves of {seen.period} records" if wavy else ""
    yield RULE.finding(
        f"the loss swings by {share(seen.scatter)} around its course{every}{with_batch}",
        found=f"level {figure(seen.level)}, scatter {figure(seen.scatter * seen.level)}, "
        f"from {at(curve, seen.first)} to the end",
        help="take a larger effective batch: more accumulation, or a larger micro-batch"
        if strong
        else "small regular waves are most often batches sorted by length; nothing needs to change",
        evidence={
            "steps": span(curve, seen.first, len(curve) - 1),
            "level": seen.level,
            "scatter": seen.scatter,
            "period": seen.period,
            "autocorrelation": seen.peak,
            "threshold": SCATTER if noisy else WAVE,
            "effective_batch": batch,
        },
        confidence=0.8 if noisy else 0.6 if strong else 0.4,
        severity=Severity.WARNING if strong else Severity.INFO,
    )


RULE = Rule("FT405", "oscillates", Severity.WARNING, find)
