"""A learning rate that does not follow a course that makes sense.

What it finds
    *Restart*: after falling under 35 % of its peak the rate rises by more than 30 % of the peak,
    once; or more often, under a scheduler that is known to have no restarts. Where it rises as it
    fell, its scheduler was made for fewer steps; else its state was lost. *Spent*: it is
    exactly 0 for the last tenth of the records or more. *Other course*: the log or the spec names
    a scheduler, and the rate does not do what that does. *Warm-up*: the run is finished, and the
    rate rose in every record up to the last; information where the loss fell by a tenth all the
    same. As information: a decaying rate that is above half of its peak when the run is finished.

Why it matters
    A restart throws a settled model about. After 0 nothing is learnt. A course made for more
    steps than were run ends before the small steps that settle a model.

Evidence it needs
    10 learning rates.

Example
    ```
    step 800: 2.1e-5   step 900: 1.1e-5   step 910: 1.9e-4   step 920: 1.9e-4
    ```

What to do
    Give the scheduler the number of steps that will be run. When a run goes on, load the
    scheduler's state with the optimizer's.

References
    Restarts that come again and again are a schedule (SGDR, arXiv 1608.03983), and no finding
    where the scheduler's name is not known. transformers' cosine rises again after the last of
    the steps that it was made for.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.doctor.curves.rules.rates import Rates, rates
from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.statistics import median
from ftspec.doctor.curves.words import at, count, share, span
from ftspec.spec.edit import number
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

RECORDS = 10
LOW, RISE = 0.35, 0.30  # of the peak
LEARNT = 0.10  # of the loss at the start, first fifth of the records against the last
REACHED = 0.9  # of the peak: the record at the peak itself may not have been logged
MIRRORED = 0.10  # of the peak: how far a rise may be from the fall before it, turned round
SPENT = 0.10  # of the records
ENDS_HIGH = 0.5  # of the peak
DECAYING = ("linear", "cosine", "polynomial", "inverse_sqrt")


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for a learning rate with an odd course."""
    seen = rates(run)
    if len(seen.values) < RECORDS or seen.peak <= 0 or run.is_reinforcement:
        return
    kinds = (_warm_up, _restart, _spent, _other, _high)
    found = next((made for kind in kinds if (made := kind(run, seen))), None)
    if found:
        yield found


def restarts(values: list[float] | tuple[float, ...], peak: float) -> list[int]:
    """Return where a rate rises again after it had come down."""
    found, lowest, fallen = [], peak, False
    top = 0.0
    for place, rate in enumerate(values):
        top = max(top, rate)
        if top >= REACHED * peak and rate < LOW * peak:
            fallen = True
        lowest = min(lowest, rate) if fallen else peak
        if fallen and rate > lowest + RISE * peak:
            found.append(place)
            fallen, lowest = False, peak
    return found


def in_warm_up(run: Run) -> bool:
    """Say whether a finished run's rate rises in every record, to twice its first at least."""
    values = rates(run).values
    rises = all(b > a for a, b in zip(values, values[1:], strict=False))
    return len(values) >= RECORDS and rises and values[-1] > 2 * values[0] and _finished(run)


def _warm_up(run: Run, seen: Rates) -> Finding | None:
    if not in_warm_up(run):
        return None
    losses, part = run.losses, max(3, len(run.losses) // 5)
    learnt = bool(losses) and median(losses[-part:]) < (1 - LEARNT) * median(losses[:part])
    return RULE.finding(
        f"the learning rate rises to the last record, {number(seen.values[-1])}: the run ended in "
        "its warm-up",
        found=f"{count(len(seen.values), 'record')}, from {number(seen.values[0])} on",
        help="set `train.warmup` to 0.03 (3 % of the steps)",
        evidence={
            "steps": span(run.judged, seen.places[0], seen.places[-1]),
            "kind": "warm-up",
            "first": seen.values[0],
            "last": seen.values[-1],
            "learnt": learnt,
        },
        confidence=0.8,
        severity=Severity.INFO if learnt else Severity.WARNING,
    )


def _restart(run: Run, seen: Rates) -> Finding | None:
    values = list(seen.values)
    places = restarts(values, seen.peak)
    name = _scheduler(run)
    if not places or "restart" in name or (len(places) > 1 and name not in DECAYING):
        return None
    place = places[0]
    where = at(run.judged, seen.places[place])
    reached = next(i for i, rate in enumerate(values) if rate >= REACHED * seen.peak)
    lowest = min(range(place, reached, -1), key=values.__getitem__)
    low = values[lowest]
    turns = _comes_round(values, lowest, place)
    state = "load the scheduler's state when a run goes on, and give it all steps to be run"
    steps = "give the scheduler the number of steps that are run; after its end it rises as it fell"
    return RULE.finding(
        f"the learning rate starts again at {where}: {number(low)} to {number(values[place])}",
        found=f"its peak is {number(seen.peak)}",
        help=steps if turns else state,
        evidence={
            "steps": span(run.judged, seen.places[place], seen.places[-1]),
            "kind": "round" if turns else "restart",
            "low": low,
            "peak": seen.peak,
            "threshold": LOW * seen.peak,
        },
        confidence=0.7,
    )


def _comes_round(values: list[float], lowest: int, place: int) -> bool:
    """Say whether a rate rises as it fell, as transformers' cosine does after its last step."""
    width = place - lowest
    if width < 2 or lowest < width:
        return False
    rise, fall = values[lowest : place + 1], values[lowest - width : lowest + 1][::-1]
    far = MIRRORED * max(values)
    return all(abs(up - down) <= far for up, down in zip(rise, fall, strict=True))


def _spent(run: Run, seen: Rates) -> Finding | None:
    zeros = next((i for i, rate in enumerate(reversed(seen.values)) if rate > 0), 0)
    if zeros < max(3, SPENT * len(seen.values)):
        return None
    first = seen.places[len(seen.values) - zeros]
    return RULE.finding(
        f"the learning rate is 0 from {at(run.judged, first)} on: nothing is learnt after it",
        found=f"{count(zeros, 'record')} of {len(seen.values):,}, "
        f"{share(zeros / len(seen.values))} of the run",
        help="give the scheduler the number of steps that are run",
        evidence={
            "steps": span(run.judged, first, seen.places[-1]),
            "kind": "spent",
            "records": zeros,
            "threshold": SPENT,
        },
        confidence=0.8,
    )


def _other(run: Run, seen: Rates) -> Finding | None:
    name = _scheduler(run)
    after = list(seen.values[seen.peaks_at :])
    if len(after) < RECORDS or not _finished(run):
        return None
    constant = min(after) >= 0.999 * seen.peak
    if name.startswith("constant") and min(after) < 0.9 * seen.peak:
        did = f"falls to {share(min(after) / seen.peak)} of its peak"
    elif name in DECAYING and constant:
        did = "stays at its peak"
    else:
        return None
    return RULE.finding(
        f"the scheduler is `{name}`, and the learning rate {did}",
        found=f"peak {number(seen.peak)}, last {number(seen.values[-1])}",
        help="look whether the scheduler is stepped, and for how many steps it was made",
        evidence={"kind": "other", "scheduler": name, "peak": seen.peak, "last": after[-1]},
        confidence=0.7,
    )


def _high(run: Run, seen: Rates) -> Finding | None:
    after = seen.values[seen.peaks_at :]
    falls = all(b <= a for a, b in zip(after, after[1:], strict=False))
    if not _finished(run) or not falls or len(after) < RECORDS:
        return None
    if not ENDS_HIGH * seen.peak < after[-1] < 0.95 * seen.peak:
        return None
    return RULE.finding(
        f"the learning rate is still {share(after[-1] / seen.peak)} of its peak at the end",
        found=f"peak {number(seen.peak)}, last {number(after[-1])}: the schedule was made for more "
        "steps",
        help="give the scheduler the number of steps that are run",
        evidence={"kind": "high", "peak": seen.peak, "last": after[-1], "threshold": ENDS_HIGH},
        confidence=0.6,
        severity=Severity.INFO,
    )


def _scheduler(run: Run) -> str:
    """Return the scheduler's name as the log or the spec says it; empty where neither does."""
    planned = (run.planned.scheduler if run.planned else None) or ""
    return planned.lower().removeprefix("schedulertype.")


def _finished(run: Run) -> bool:
    return any(event.kind == "end" for event in run.events)


RULE = Rule("FT423", "lr-schedule", Severity.WARNING, find)
