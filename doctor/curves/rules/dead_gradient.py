"""Steps that change nothing: the weights that are trained are not those of the loss.

What it finds
    Four kinds. *Zero*: the gradient norm is exactly 0 in half of the records or more, with a
    loss above 0.05. *Held-out alike*: held-out loss is the same in all evaluations, digit for
    digit. *Same again*: losses come back digit for digit far more often than chance allows,
    without a trend. *Not wired*: the loss moves by less than 0.2 % and by no more than
    its noise, while the steps taken (learning rate times gradient norm, summed) should have
    lowered it by ten times as much.

Why it matters
    The run costs what a run costs and leaves the model as it was.

Evidence it needs
    Three gradient norms; or three evaluations with four digits; or 12 losses with four decimals;
    or 40 losses, norms and rates.

Example
    ```
    iter 100: loss 3.7451   iter 105: loss 3.7451   iter 109: loss 3.5073   iter 112: loss 3.5073
    ```

What to do
    Look whether the optimizer holds the parameters that require a gradient: an adapter that was
    added after the optimizer was made, a model that was wrapped or moved later, weights that are
    frozen, activation checkpointing without `enable_input_require_grads`.

References
    First order: a step of Adam lowers the loss by the rate times the gradient's L1 norm, which is
    at least its L2 norm. Same again: Lightning-AI/litgpt#834.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from ftspec.doctor.curves.rules.flat import LEARNT, after_warmup
from ftspec.doctor.curves.rules.spikes import spikes_of
from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.statistics import median, shift, spread
from ftspec.doctor.curves.words import count, figure, share, span
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

ZEROS = 3
EVALUATIONS, DIGITS = 3, 4
REPEATS_NEED, WIRES_NEED = 12, 40
BY_CHANCE = 10.0  # times as many repeats as a smooth density would give
DECIMALS = 4
STILL = 0.002  # of the loss
ERRORS = 2.5  # standard errors
WRITTEN = 1e-4  # of the loss: logs show four digits
OWED = 10.0  # times the movement seen

HELP = "look whether the optimizer holds the parameters that require a gradient, and whether any do"


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for steps that change nothing."""
    if run.is_reinforcement or not run.losses:
        return
    found = _zero(run) or _held_out_alike(run) or _same_again(run) or _not_wired(run)
    if found:
        yield found


def _zero(run: Run) -> Finding | None:
    norms = [norm for norm in run.column("grad_norm") if norm is not None]
    rates = [rate for rate in run.column("learning_rate") if rate is not None]
    zeros = sum(norm == 0.0 for norm in norms)
    if zeros < max(ZEROS, len(norms) / 2) or median(run.losses) < LEARNT:
        return None
    if rates and not any(rates):
        return None  # FT421 says it
    return RULE.finding(
        f"the gradient norm is exactly 0 in {count(zeros, 'record')} of {len(norms):,}",
        found=f"the loss is {figure(median(run.losses))}",
        help=HELP,
        evidence={"zeros": zeros, "of": len(norms), "threshold": max(ZEROS, len(norms) / 2)},
        confidence=0.95,
    )


def _held_out_alike(run: Run) -> Finding | None:
    """Weights that move at all move the fourth digit of a loss over the same rows."""
    losses = [record.loss for record in run.held_out if record.loss is not None]
    digits = len(f"{losses[0]:.10g}".replace(".", "").strip("0")) if losses else 0
    if len(losses) < EVALUATIONS or len(set(losses)) > 1 or digits < DIGITS or losses[0] < LEARNT:
        return None
    return RULE.finding(
        f"held-out loss is {losses[0]:.10g} in all {len(losses)} evaluations: the weights do not "
        "change",
        found=f"digit for digit; the training loss goes from {figure(run.losses[0])} to "
        f"{figure(run.losses[-1])}",
        help=HELP,
        evidence={
            "steps": span(run.held_out, 0, len(run.held_out) - 1),
            "level": losses[0],
            "evaluations": len(losses),
            "threshold": EVALUATIONS,
            "learning_rate": run.peak_learning_rate,
        },
        confidence=0.9 if digits > DIGITS else 0.7,
    )


def _same_again(run: Run) -> Finding | None:
    losses = run.losses
    # neighbours alike may be one record said twice
    told = [b for a, b in zip([None, *losses], losses, strict=False) if a != b]
    if len(told) < REPEATS_NEED or len(told) > 5000 or _decimals(told) < DECIMALS:
        return None
    width, size = spread(told), len(told)
    repeats = size - len(Counter(told))
    # pairs of a normal sample closer than the last digit: n^2 / 2 x digit / (2 sigma sqrt pi)
    digit = 10.0 ** -_decimals(told)
    expected = size**2 / 2 * digit / (2 * width * math.sqrt(math.pi)) if width else math.inf
    third = size // 3
    move, error = shift(told[:third], told[-third:])
    trend = abs(move) > 3 * error + 0.02 * median(told)
    if repeats < max(size / 3, BY_CHANCE * expected) or trend or median(told) < LEARNT:
        return None
    return RULE.finding(
        f"the losses are the same ones again: {count(repeats, 'value')} of {size:,} stood there "
        "before, digit for digit",
        found=f"about {expected:.1g} would be by chance; the weights do not change",
        help=HELP,
        evidence={
            "steps": span(run.curve, 0, len(run.curve) - 1),
            "repeats": repeats,
            "expected": expected,
            "threshold": max(size / 3, BY_CHANCE * expected),
        },
        confidence=0.8,
    )


def _decimals(values: Sequence[float]) -> int:
    """Return how many decimals the values were written with: the most that any needs."""
    return max(len(f"{value:.10f}".rstrip("0").partition(".")[2]) for value in values[:200])


def _not_wired(run: Run) -> Finding | None:
    curve = after_warmup(run.curve)
    losses = [record.loss for record in curve if record.loss is not None]
    if len(losses) < WIRES_NEED or spikes_of(losses):
        return None
    half = len(losses) // 2
    level = median(losses)
    move, scatter = shift(losses[:half], losses[half:])
    ends, of_ends = shift(losses[: half // 2], losses[-half // 2 :])
    error, still = max(scatter, WRITTEN * level), max(abs(move), abs(ends))
    drifts = abs(move) > ERRORS * error or abs(ends) > ERRORS * max(of_ends, error)
    if level < LEARNT or still > STILL * level or drifts:
        return None
    owed = 0.0
    for before, now in zip(curve, curve[1:], strict=False):
        if now.grad_norm is None or now.learning_rate is None or not math.isfinite(now.grad_norm):
            return None
        steps = (now.step or 0) - (before.step or 0)
        owed += now.learning_rate * now.grad_norm * max(steps, 1)
    # no fall is owed below nothing: what is left is the loss itself
    if min(owed, level) <= OWED * (still + error):
        return None
    return RULE.finding(
        f"the steps change nothing: the loss stays at {figure(level)} within "
        f"{share(still / level)}",
        found=f"learning rate times gradient norm adds up to {figure(owed)}, and the loss has "
        f"moved by {figure(still)}",
        help=HELP,
        evidence={
            "steps": span(curve, 0, len(curve) - 1),
            "level": level,
            "moved": still,
            "owed": owed,
            "threshold": OWED * (still + error),
            "learning_rate": run.peak_learning_rate,
        },
        confidence=0.6,
    )


RULE = Rule("FT419", "dead-gradient", Severity.ERROR, find)
