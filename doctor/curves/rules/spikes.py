"""Losses that jump far above the course of the curve.

What it finds
    Records above the median of those before them by more than eight times their robust spread or
    the noise of the whole curve, by more than 35 %, and by more than a twentieth of the loss at
    the start. Neighbouring ones are one spike. One spike of at most twice the level that is over
    within a few records is information; more, higher or lasting ones are a warning.

Why it matters
    A spike is a step that was too long: the weights were thrown out of the valley they were in.
    What it costs shows in how long the way back takes. Spikes that come back are a run on the
    edge of divergence.

Evidence it needs
    12 losses; 6 before a spike.

Example
    ```
    step 2,695: 0.53   step 2,700: 1.51   step 2,705: 1.17   step 2,720: 1.08   step 2,730: 0.52
    ```

What to do
    Divide the learning rate by five. One spike that was over at once and never came back is more
    likely a row than the rate: look at the rows of that step, and go on.

References
    The rule (spikes: the rate is too high, / 5) is the guide's. Hampel's identifier: Davies and
    Gather, JASA 88 (1993). Kinds by recovery: stas00/ml-engineering, training/instabilities. A
    threshold on mean and standard deviation (OLMo-core's 6 sigma) is masked by the spike itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ftspec.doctor.curves.rules import diverges
from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.statistics import SIGMA_OF_MAD, Recent, mad, median, noise_scale
from ftspec.doctor.curves.words import at, count, factor, figure, span
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

RECORDS = 12
WINDOW = (6, 40)  # records before; a tenth of the run between these
SPREADS = 8.0
LEAST_SPREAD = 0.03  # of the level: smooth curves would alarm at nothing
RATIO = 1.35
OF_START = 0.05  # late in a memorised run a jump from 0.001 to 0.01 is no event
HIGH = 2.0  # over twice the level is a warning even if it is over at once
QUICK = 3  # records, or 2 % of the run


@dataclass(frozen=True, slots=True)
class Spike:
    """First, highest and last record above the course; `level` is the course before it."""

    first: int
    peak: int
    last: int
    level: float
    height: float
    recovered: bool

    @property
    def ratio(self) -> float:
        """How many times the level before it the spike reaches."""
        return self.height / self.level if self.level > 0 else float("inf")

    def joined(self, other: Spike) -> Spike:
        """Return this spike and one a few records later as one."""
        higher = max(self, other, key=lambda spike: spike.height)
        return Spike(
            self.first, higher.peak, other.last, self.level, higher.height, other.recovered
        )


def spikes_of(losses: Sequence[float]) -> list[Spike]:
    """Return the spikes of a curve, in order."""
    if len(losses) < RECORDS:
        return []
    window = min(WINDOW[1], max(WINDOW[0], len(losses) // 10))
    start, noise = median(losses[: WINDOW[0]]), noise_scale(losses)
    found: list[Spike] = []
    recent = Recent(losses[: WINDOW[0]], window)
    place = WINDOW[0]
    while place < len(losses):
        level = recent.median
        if losses[place] <= max(RATIO * level, level + OF_START * start):
            recent.add(losses[place])
            place += 1
            continue
        spread = max(SIGMA_OF_MAD * mad(recent.values), noise, LEAST_SPREAD * abs(level))
        if losses[place] <= level + SPREADS * spread:
            recent.add(losses[place])
            place += 1
            continue
        back = level + max(3 * spread, 0.1 * abs(level))
        end = place + 1
        while end < len(losses) and losses[end] > back and end - place < window:
            end += 1
        recovered = end < len(losses) and losses[end] <= back
        peak = max(range(place, end), key=losses.__getitem__)
        spike = Spike(place, peak, end - 1, level, losses[peak], recovered)
        near = bool(found) and found[-1].recovered and place - found[-1].last <= WINDOW[0]
        found[-1:] = [found[-1].joined(spike)] if near else [*found[-1:], spike]
        if not recovered:  # a new level: judge what follows by it
            recent = Recent(losses[place:end], window)
        place = end
    return found


def find(run: Run) -> Iterator[Finding]:
    """Yield one finding for all spikes of a run; what belongs to a divergence is not one."""
    if run.is_reinforcement:
        return
    curve, losses = run.curve, run.losses
    runaway = diverges.divergence(run)
    found = [s for s in spikes_of(losses) if runaway is None or s.last < runaway.onset]
    if not found:
        return
    highest = max(found, key=lambda spike: spike.ratio)
    quick = max(QUICK, len(losses) // 50)
    over = all(s.recovered and s.last - s.first < quick for s in found)
    mild = over and len(found) == 1 and highest.ratio <= HIGH
    yield RULE.finding(
        _title(run, found, highest),
        found=_found(run, found, highest),
        help="one short spike is more often a row than the rate: look at the rows of that step"
        if mild
        else "divide the learning rate by five, and look at the rows of those steps",
        evidence={
            "steps": span(curve, found[0].first, found[-1].last),
            "spikes": [
                {
                    "steps": span(curve, s.first, s.last),
                    "loss": s.height,
                    "level": s.level,
                    "ratio": s.ratio,
                    "recovered": s.recovered,
                    "learning_rate": curve[s.first].learning_rate,
                    "grad_norm": gradient_near(run, s),
                }
                for s in found[:20]
            ],
            "count": len(found),
            "recovered": sum(s.recovered for s in found),
            "threshold": {"spreads": SPREADS, "ratio": RATIO},
            "learning_rate": curve[found[0].first].learning_rate,
        },
        confidence=0.9 if len(found) > 1 or not over else 0.6,
        severity=Severity.INFO if mild else Severity.WARNING,
    )


def _title(run: Run, found: Sequence[Spike], highest: Spike) -> str:
    where = at(run.curve, highest.peak)
    reach = f"{factor(highest.ratio)} its level"
    if len(found) == 1:
        tail = "" if highest.recovered else ", and does not come back"
        return f"the loss spikes to {reach} at {where}{tail}"
    lost = sum(not spike.recovered for spike in found)
    tail = f"; after {lost} of them it does not come back" if lost else ""
    return f"the loss spikes {len(found)} times, the highest to {reach} at {where}{tail}"


def _found(run: Run, found: Sequence[Spike], highest: Spike) -> str:
    parts = [f"{figure(highest.height)} after a level of {figure(highest.level)}"]
    if highest.recovered:
        parts.append(f"back by {at(run.curve, highest.last + 1)}")
    gradient = gradient_near(run, highest)
    norms = [r.grad_norm for r in run.curve if r.grad_norm is not None]
    if gradient is not None and gradient > 3 * median(norms):
        parts.append(f"gradient norm {figure(gradient)} (median {figure(median(norms))})")
    if len(found) > 1:
        parts.append(f"first at {at(run.curve, found[0].first)}")
    return ", ".join(parts) + f"; {count(len(run.losses), 'record')}"


def gradient_near(run: Run, spike: Spike) -> float | None:
    """Return the greatest gradient norm from a few records before a spike to its peak."""
    near = run.curve[max(0, spike.first - 5) : spike.peak + 1]
    return max((r.grad_norm for r in near if r.grad_norm is not None), default=None)


RULE = Rule("FT404", "spikes", Severity.WARNING, find)
