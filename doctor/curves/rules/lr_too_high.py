"""A learning rate too high for anything to be learnt.

What it finds
    Three kinds. *Absurd*: a rate of 0.01 or more under which the loss ends no lower than it began.
    *Hump*: a loss that rises by more than a fifth and five times its noise within the first half
    of the run and ends at 90 % of its start or above; one that rises until the end is FT402's.
    *Detour*: a loss that ends lower, after it lay more than 5 % and three standard errors above
    its start for a quarter of the run, and a tenth above it at its highest.

Why it matters
    The first large steps destroy what the model had learnt before, and the run is spent on
    learning some of it again.

Evidence it needs
    6 losses; 12 for a detour; the learning rate for the first kind and the third.

Example
    ```
    learning_rate 0.01   loss  1.64   9.80   7.42   6.90   6.55   6.40
    ```

What to do
    Start again from the base model with a usual rate: 2e-4 for adapters, 2e-5 for full
    fine-tuning. Plain SGD and prompt tuning take more, and are no finding while they learn.

References
    Usual rates: the guide's 2e-4, Alpaca's 2e-5; prompts up to 0.3 (Lester et al. 2021). A loss
    that rises at first and then falls far below its start is the transient of a fresh model. Of
    43 healthy logs none lies 5 % above its start for a twelfth of its records.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ftspec.doctor.curves.rules import diverges
from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.statistics import median, noise_scale, rolling_median
from ftspec.doctor.curves.words import at, figure, share, span
from ftspec.spec.edit import number
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

RECORDS = 6
ABSURD = 0.01
HUMP = 1.2  # times the start
HUMP_IN_NOISE = 5.0
BACK = 0.9  # of the start
DETOUR, DETOUR_NEEDS = 0.25, 12  # of the records; records
ABOVE, HIGHEST = 0.05, 0.10  # of the start, above it
IN_ERRORS = 3.0  # standard errors of the start, which few records tell

HELP = (
    "start again from the base model with a usual rate: 2e-4 for adapters, 2e-5 for full "
    "fine-tuning"
)


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for a learning rate under which nothing is learnt."""
    losses, curve = run.losses, run.curve
    if len(losses) < RECORDS or run.is_reinforcement:
        return
    rate = run.rate_reached()
    start, end = losses[0], median(losses[-max(3, len(losses) // 10) :])
    smooth = rolling_median(losses, max(5, len(losses) // 10) | 1)
    top = max(range(len(smooth) // 2 + 1), key=smooth.__getitem__)
    noise = noise_scale(losses)
    risen = smooth[top] > max(HUMP * start, start + HUMP_IN_NOISE * noise)
    absurd = rate is not None and rate >= ABSURD and end >= start
    hump = risen and top > 0 and end >= BACK * start and not diverges.divergence(run)
    if start <= 0:
        return
    if not (absurd or hump):
        if rate and not diverges.divergence(run):
            yield from _detour(run, smooth, end, rate)
        return
    said = f"at a learning rate of {number(rate)}" if rate else "from the first steps on"
    peak = figure(max(losses[: len(losses) // 2 + 1]))
    yield RULE.finding(
        f"nothing is learnt {said}: the loss goes from {figure(start)} over {peak} to "
        f"{figure(end)}",
        found=f"highest around {at(curve, top)}; noise between records {figure(noise)}",
        help=HELP,
        evidence={
            "steps": span(curve, 0, len(curve) - 1),
            "start": start,
            "highest": smooth[top],
            "end": end,
            "noise": noise,
            "threshold": ABSURD if absurd else HUMP * start,
            "learning_rate": rate,
        },
        confidence=0.9 if absurd else 0.6,
    )


def _detour(run: Run, smooth: Sequence[float], end: float, rate: float) -> Iterator[Finding]:
    """Yield the finding for a loss that is long above its start before it comes below it."""
    first = run.losses[: max(3, len(run.losses) // 20)]
    start = median(first)
    error = 1.25 * noise_scale(run.losses) / len(first) ** 0.5  # of a median
    bound = start + max(ABOVE * start, IN_ERRORS * error)
    above = [place for place, loss in enumerate(smooth) if loss > bound]
    if len(smooth) < DETOUR_NEEDS or len(above) < DETOUR * len(smooth) or end >= start:
        return
    top = max(above, key=smooth.__getitem__)
    if smooth[top] < (1 + HIGHEST) * start:
        return
    yield RULE.finding(
        f"the loss lies above its start for {share(len(above) / len(smooth))} of the run, at a "
        f"learning rate of up to {number(rate)}",
        found=f"{figure(start)} at the start, {figure(smooth[top])} around {at(run.curve, top)}, "
        f"{figure(end)} at the end",
        help=HELP,
        evidence={
            "steps": span(run.curve, above[0], above[-1]),
            "start": start,
            "highest": smooth[top],
            "end": end,
            "records": len(above),
            "threshold": bound,
            "learning_rate": rate,
        },
        confidence=0.6,
    )


RULE = Rule("FT422", "lr-too-high", Severity.WARNING, find)
