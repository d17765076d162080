"""Two runs: which is better, by how much, and whether that exceeds noise.

Held-out loss decides where two runs have it on the same sets; else training loss, which is weaker.
Noise is what one run's curve shows from step to step. Two seeds of one recipe can differ by more
than that: a difference within noise is none, and one beyond it may still be a seed's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.statistics import median
from ftspec.doctor.curves.words import factor, figure
from ftspec.doctor.diagnose import Diagnosed
from ftspec.doctor.resample import Interval, mean_of_pairs, of_ends, of_lowest

BROKEN = ("nan", "diverges", "zero-loss", "rl-collapse", "dead-gradient")
SCALE = 1.5  # first losses that differ by more are of another scale, model or data
LARGEST = 1e100
EARLY = 0.1  # of the steps: a first record after that says nothing of the start
LONGER = 1.1  # steps: from there on it is said that one run was longer
EVALUATIONS = 6  # for a noise scale of their own
PAIRS = 4
LAST_PART = 5  # training losses: of the last fifth

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What can be said of two runs; `better` is the place of one of them, None: cannot tell.

    `difference` is the worse one's loss less the better one's, with a 95 % interval where noise
    could be measured. `exceeds_noise` is None where it could not.
    """

    pair: tuple[int, int]
    better: int | None
    by: str  # "held-out loss", "training loss", "health", or "" where nothing can be compared
    difference: float | None = None
    relative: float | None = None
    interval: Interval | None = None
    exceeds_noise: bool | None = None
    method: str = ""
    reasons: tuple[str, ...] = ()

    def as_json(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the verdict in the form that programs read."""
        return {
            "runs": [names[place] for place in self.pair],
            "better": None if self.better is None else names[self.better],
            "by": self.by or None,
            "difference": self.difference,
            "relative": self.relative,
            "low": self.interval.low if self.interval else None,
            "high": self.interval.high if self.interval else None,
            "exceeds_noise": self.exceeds_noise,
            "method": self.method,
            "reasons": list(self.reasons),
        }


def judge(pair: Pair, runs: Sequence[Diagnosed]) -> Verdict:
    """Return what can be said of two of the runs."""
    first, second = (runs[place] for place in pair)
    refused = _not_comparable(first.run, second.run)
    if refused:
        return Verdict(pair, None, "", reasons=(refused,))
    broken = [_broken(first), _broken(second)]
    if all(broken):
        words = f"both are broken: `{broken[0]}` and `{broken[1]}`"
        return Verdict(pair, None, "", reasons=(words,))
    if any(broken):
        sound = pair[0] if broken[1] else pair[1]
        words = f"the other has `{broken[0] or broken[1]}`"
        return Verdict(pair, sound, "health", reasons=(words,))
    scale = _other_scale(first.run, second.run)
    if max(abs(loss) for item in (first, second) for loss in item.run.losses) > LARGEST:
        scale = f"losses above {LARGEST:g} are no losses"
    if scale:
        return Verdict(pair, None, "", reasons=(scale,))
    reasons = _lengths(first.run, second.run)
    if _same_sets(first.run, second.run):
        return _by_held_out(pair, first.run, second.run, reasons)
    reasons.insert(0, _why_not_held_out(first.run, second.run))
    return _by_training(pair, first.run, second.run, reasons)


def steps_of(run: Run) -> float | None:
    """Return the last step of a run; None where no step was logged."""
    steps = (value for value in run.column("step") if value is not None)
    return max((step for step in steps if math.isfinite(step)), default=None)


def _broken(item: Diagnosed) -> str | None:
    return next((f.name for f in item.findings if f.name in BROKEN), None)


def _not_comparable(first: Run, second: Run) -> str:
    if first.is_reinforcement or second.is_reinforcement:
        return "the loss of a reinforcement-learning run says nothing of how good it is"
    same = len(first.losses) == len(second.losses) and first.losses == second.losses
    return "both logs hold the same losses: they are one run" if same else ""


def _other_scale(first: Run, second: Run) -> str:
    """Compare the losses at the start: before much is learnt, scale, model and data make them."""
    starts = [
        median(run.losses[: max(1, min(5, len(run.losses) // 20))]) for run in (first, second)
    ]
    if min(starts) <= 0 or not all(map(_begins_early, (first, second))):
        return ""
    ratio = max(starts) / min(starts)
    if ratio <= SCALE:
        return ""
    return (
        f"the losses begin at {figure(starts[0])} and {figure(starts[1])}, {factor(ratio)} apart: "
        "another scale of loss, another model or other data"
    )


def _begins_early(run: Run) -> bool:
    return (run.curve[0].step or 0.0) <= EARLY * (steps_of(run) or 1.0)


def _lengths(first: Run, second: Run) -> list[str]:
    one, other = steps_of(first), steps_of(second)
    if not one or not other or max(one, other) / min(one, other) <= LONGER:
        return []
    longer = first if one > other else second
    times = factor(max(one, other) / min(one, other))
    return [f"{longer.source} ran {times} as many steps"]


def _same_sets(first: Run, second: Run) -> bool:
    sets = [{e.name for e in run.evals if e.loss is not None} for run in (first, second)]
    return sets[0] == sets[1] and all(run.held_out for run in (first, second))


def _why_not_held_out(first: Run, second: Run) -> str:
    missing = [run.source for run in (first, second) if not run.held_out]
    if len(missing) == 2:
        return "neither has held-out loss; training loss is weaker: learning by heart lowers it too"
    if missing:
        return f"{missing[0]} has no held-out loss; training loss is weaker"
    return "they were evaluated on sets of other names; training loss is weaker"


def _by_held_out(pair: Pair, first: Run, second: Run, reasons: list[str]) -> Verdict:
    curves = [[e.loss for e in run.held_out if e.loss is not None] for run in (first, second)]
    lowest = [min(curve) for curve in curves]
    difference = lowest[1] - lowest[0]
    pairs = _common(
        {e.step: e.loss for e in first.held_out}, {e.step: e.loss for e in second.held_out}
    )
    interval, method = None, ""
    if all(len(curve) >= EVALUATIONS for curve in curves):
        interval = of_lowest(curves[0], curves[1])
        method = (
            "lowest held-out losses; 95 % interval of 2,000 resamples of the evaluations' noise "
            "about their course, in blocks"
        )
    elif len(pairs) >= PAIRS:
        interval = mean_of_pairs(pairs[-max(PAIRS, len(pairs) // 2) :], difference)
        method = (
            "lowest held-out losses; the interval's width is that of the paired differences at the "
            f"{len(pairs)} common steps"
        )
    else:
        fewest = min(map(len, curves))
        reasons.append(f"{fewest} evaluations in one of them: their noise cannot be measured")
    reasons += _at_commonsteps_of(pairs, difference)
    return _decided(pair, "held-out loss", difference, min(lowest), interval, method, reasons)


def _at_commonsteps_of(pairs: Sequence[float], difference: float) -> list[str]:
    """Say how the two stand at equal steps, over the later half of them."""
    if len(pairs) < PAIRS:
        return []
    later = pairs[len(pairs) // 2 :]
    lower = sum(value * difference > 0 for value in later)
    middle = figure(abs(median(later)))
    against = "" if median(later) * difference >= 0 else ", the other way round"
    return [
        f"at the last {len(later)} common steps it is lower at {lower}, by {middle} in the "
        f"median{against}"
    ]


def _by_training(pair: Pair, first: Run, second: Run, reasons: list[str]) -> Verdict:
    end = min(steps_of(first) or 0.0, steps_of(second) or 0.0)
    curves = [_until(run, end) for run in (first, second)]
    tails = [curve[-max(5, len(curve) // LAST_PART) :] for curve in curves]
    if min(map(len, tails)) < 5:
        reasons.append("too few records in common")
        return Verdict(pair, None, "training loss", reasons=tuple(reasons))
    levels = [sum(loss for _, loss in tail) / len(tail) for tail in tails]
    pairs = _common({**dict(tails[0])}, {**dict(tails[1])})
    if len(pairs) >= 2 * PAIRS:
        difference = sum(pairs) / len(pairs)
        interval = mean_of_pairs(pairs, difference)
        method = f"mean of the paired differences at the last {len(pairs)} common steps; "
    else:
        difference = levels[1] - levels[0]
        interval = of_ends([loss for _, loss in tails[0]], [loss for _, loss in tails[1]])
        method = "means over the last fifth of the records up to the shorter one's end; "
    method += "95 % interval of 2,000 resamples in blocks, no narrower than Student's"
    return _decided(pair, "training loss", difference, min(levels), interval, method, reasons)


def _until(run: Run, end: float) -> list[tuple[float, float]]:
    """Return steps (else places) and losses up to a step; all of them where no step is known."""
    known = zip(run.curve.values("step"), run.losses, strict=True)
    placed = [(float(n) if step is None else step, loss) for n, (step, loss) in enumerate(known)]
    return [(step, loss) for step, loss in placed if end == 0.0 or step <= end]


def _common(
    first: Mapping[float | None, float | None], second: Mapping[float | None, float | None]
) -> list[float]:
    """Return the second run's loss less the first's at the steps that both have, in order."""
    found = []
    for step in sorted(s for s in first if s is not None and s in second):
        one, other = first[step], second[step]
        if one is not None and other is not None:
            found.append(other - one)
    return found


def _decided(
    pair: Pair,
    by: str,
    difference: float,
    level: float,
    interval: Interval | None,
    method: str,
    reasons: Sequence[str],
) -> Verdict:
    """Turn a signed difference (second less first) into a verdict."""
    better = pair[0] if difference > 0 else pair[1]
    if difference < 0 and interval is not None:
        interval = Interval(-interval.high, -interval.low)
    size = abs(difference)
    relative = size / level if level > 0 else None
    beyond = None if interval is None else interval.low > 0
    named = None if size == 0 or beyond is False else better
    return Verdict(pair, named, by, size, relative, interval, beyond, method, tuple(reasons))
