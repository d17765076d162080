"""A loss that does not move.

What it finds
    Runs whose first and last fifth (after warm-up) differ by less than 2 % of the loss, whose
    ends differ by less than 6 % or four times the noise, and whose held-out loss does not fall.

Why it matters
    Nothing is learnt, at the full price of a run.

Evidence it needs
    10 losses after warm-up. Losses under 0.05 are not judged: there, flat is the end of learning.

Example
    ```
    step 50: 1.387   step 1,000: 1.386   step 2,000: 1.386   step 3,100: 1.387
    ```

What to do
    Raise the learning rate tenfold. If the loss stays flat, the rate is not the cause: look
    whether the adapter is attached and trainable, whether the labels are all masked, and whether
    the model had learnt this data before.

References
    The rule (flat: the rate is too low, x10) is the guide's. Thresholds: research on 261
    real logs, where they found 11 of 15 flat ones without a false alarm (they were chosen on those
    logs). A Mann-Kendall test alone calls a 1 % drift over 200 records significant.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.doctor.curves.rules import diverges
from ftspec.doctor.curves.series import Records, Run
from ftspec.doctor.curves.statistics import block_medians, median, noise_scale, theil_sen
from ftspec.doctor.curves.words import at, figure, share, span
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

RECORDS = 10
CHANGE = 0.02  # of the loss, first fifth against last fifth
ENDS = 0.06  # of the loss, first record against last
ENDS_IN_NOISE = 4.0
EVAL_FALL = 0.03  # a held-out loss that falls by more is learning
LEARNT = 0.05  # a loss under it has nowhere to fall
EARLY = 20  # 1/20 of the records is left out at the start


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for a loss that does not move."""
    curve = settled(run.curve)
    losses = [record.loss for record in curve if record.loss is not None]
    if len(losses) < RECORDS or run.is_reinforcement or diverges.divergence(run):
        return
    fifth = len(losses) // 5
    level, noise = median(losses), noise_scale(losses)
    first, last = median(losses[:fifth]), median(losses[-fifth:])
    ends = abs(run.losses[0] - losses[-1])
    if level < LEARNT or abs(first - last) >= CHANGE * level:
        return
    if ends >= max(ENDS * level, ENDS_IN_NOISE * noise) or eval_fall(run) > EVAL_FALL:
        return
    trend = theil_sen(block_medians(losses, 60)) * min(len(losses), 60)
    if trend < -1.5 * CHANGE * level:
        return
    # the standard error of a difference of two medians: 1.25 sigma sqrt(2 / n)
    blur = 1.25 * noise * (2 / fifth) ** 0.5
    where = f"{at(curve, 0)} to {at(curve, len(curve) - 1).removeprefix('step ')}"
    yield RULE.finding(
        f"the loss is flat: {figure(first)} to {figure(last)} over {where}",
        found=f"it changes by {share(abs(last - first) / level)}, noise between records is "
        f"{share(noise / level)}",
        help="raise the learning rate tenfold; if it stays flat, look whether the adapter is\n"
        "trainable and the answers are not masked",
        evidence={
            "steps": span(curve, 0, len(curve) - 1),
            "first_fifth": first,
            "last_fifth": last,
            "noise": noise,
            "threshold": CHANGE * level,
            "trend": trend,
            "learning_rate": run.peak_learning_rate,
        },
        confidence=0.9 if 2 * blur < CHANGE * level else 0.6,
    )


def after_warmup(curve: Records) -> Records:
    """Leave out the records before the learning rate first reached half of its peak."""
    rates = [record.learning_rate for record in curve]
    known = [rate for rate in rates if rate is not None]
    peak = max(known, default=0.0)
    reached = (i for i, rate in enumerate(rates) if rate is not None and rate >= peak / 2)
    return curve[next(reached, 0) :] if peak > 0 else curve


def settled(curve: Records) -> Records:
    """Leave out warm-up and the first twentieth of what follows."""
    warm = after_warmup(curve)
    return warm[len(warm) // EARLY :]


def eval_fall(run: Run) -> float:
    """Return by what share of the first held-out loss the lowest of the later ones is lower."""
    held_out = [record.loss for record in run.held_out if record.loss is not None]
    if len(held_out) < 2 or held_out[0] <= 0:
        return 0.0
    return (held_out[0] - min(held_out[1:])) / held_out[0]


RULE = Rule("FT403", "flat", Severity.WARNING, find)
