"""Held-out loss rises while training loss falls.

What it finds
    Runs whose held-out loss was lowest early and has since risen by more than 4 % and by more
    than three times its own noise, while the training loss went on falling. It is information
    only where a task metric still improves and the training loss has not come down to 0.02.

Why it matters
    From the lowest point on the model learns its rows by heart and gets worse at all others. The
    last checkpoint is not the best.

Evidence it needs
    3 evaluations, two of them after the lowest. With fewer, or none, it cannot be told.

Example
    ```
    held-out loss   2.10   1.95   1.93   2.05   2.31
    training loss   2.30   1.70   1.20   0.80   0.45
    ```

What to do
    In this order: fewer epochs, more dropout, more data, a lower learning rate, early stopping.
    Take the checkpoint at the lowest held-out loss. Where a task metric (accuracy, word errors)
    still improves, decide which of the two you want: loss punishes confident errors more.

References
    The order is the guide's. A rise of the held-out loss as the mark of overfitting: Google's
    Deep Learning Tuning Playbook. A gap between the two losses is no mark (SageMaker Debugger's
    10 %): dropout, packing and second epochs make one in healthy runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ftspec.doctor.curves.rules import diverges
from ftspec.doctor.curves.series import EvalRecord, Run
from ftspec.doctor.curves.statistics import median, noise_scale
from ftspec.doctor.curves.words import at, figure, share, span
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

EVALUATIONS = 3
RISE = 0.04  # of the lowest held-out loss
RISE_IN_NOISE = 3.0
NOISE_NEEDS = 6  # evaluations, for a noise scale of their own

BY_HEART = 0.02  # training loss under it: nothing is left to learn from these rows

LOWER_IS_BETTER = ("wer", "cer", "mae", "mse", "rmse")
HIGHER_IS_BETTER = ("accuracy", "acc", "f1", "bleu", "rouge", "precision", "recall", "exact", "em")


@dataclass(frozen=True, slots=True)
class Rise:
    """Where held-out loss was lowest, what it rose to, and what training loss did meanwhile."""

    best: int
    lowest: float
    last: float
    end: float
    after: int
    noise: float
    bar: float
    train: tuple[float, float]


def rise(run: Run) -> Rise | None:
    """Return how held-out loss rises under a falling training loss, or None where it does not."""
    held_out = run.held_out
    losses = [record.loss for record in held_out if record.loss is not None]
    if len(losses) < EVALUATIONS or run.is_reinforcement or diverges.divergence(run):
        return None
    best = min(range(len(losses)), key=losses.__getitem__)
    after = losses[best + 1 :]
    if len(after) < 2:
        return None
    lowest, end = losses[best], median(after[-3:])
    noise = noise_scale(losses) if len(losses) >= NOISE_NEEDS else 0.0
    bar = lowest + max(RISE * lowest, RISE_IN_NOISE * noise)
    train = training_fall(run, held_out[best])
    if end <= bar or train is None:
        return None
    return Rise(best, lowest, losses[-1], end, len(after), noise, bar, train)


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for a held-out loss that rises while the training loss falls."""
    seen = rise(run)
    if seen is None:
        return
    held_out = run.held_out
    metric = better_metric(held_out, seen.best)
    still = f"; {metric} still improves" if metric else ""
    blur = f" (noise {share(seen.noise / seen.lowest)})" if seen.noise else ""
    place = at(held_out, seen.best)
    yield RULE.finding(
        f"the run overfits from {place} on: held-out loss rises from "
        f"{figure(seen.lowest)} to {figure(seen.last)}, training loss falls",
        found=f"held-out loss +{share((seen.last - seen.lowest) / seen.lowest)} over {seen.after} "
        f"evaluations{blur}, training loss {figure(seen.train[0])} to {figure(seen.train[1])}"
        f"{still}",
        help=f"take the checkpoint at {place}; train for fewer epochs"
        + (f";\nif {metric} is what you care for, the last may still be better" if metric else ""),
        evidence={
            "steps": span(held_out, seen.best, len(held_out) - 1),
            "best_step": held_out[seen.best].step,
            "best_epoch": held_out[seen.best].epoch,
            "best_loss": seen.lowest,
            "end_loss": seen.end,
            "evaluations_after_best": seen.after,
            "noise": seen.noise,
            "threshold": seen.bar,
            "train_at_best": seen.train[0],
            "train_at_end": seen.train[1],
            "metric_still_better": metric,
        },
        confidence=(0.6 if metric else 0.9) if len(held_out) > EVALUATIONS else 0.6,
        severity=Severity.INFO if metric and seen.train[1] > BY_HEART else Severity.WARNING,
    )


def training_fall(run: Run, best: EvalRecord) -> tuple[float, float] | None:
    """Return the training loss around the best evaluation and at the end, where it fell."""
    losses = run.losses
    if len(losses) < 2:
        return None
    around = [i for i, r in enumerate(run.curve) if (r.step or i) <= (best.step or 0)]
    place, width = (around[-1] if around else 0), max(1, len(losses) // 10)
    then = median(losses[max(0, place - width + 1) : place + 1])
    now = median(losses[-width:])
    return (then, now) if now < then else None


def better_metric(held_out: Sequence[EvalRecord], best: int) -> str | None:
    """Return a task metric that is better at the end than where the loss was lowest."""
    then, now = held_out[best].metrics, held_out[-1].metrics
    for name in then:
        if name not in now:
            continue
        if _is_one_of(name, LOWER_IS_BETTER) and now[name] < then[name]:
            return name
        if _is_one_of(name, HIGHER_IS_BETTER) and now[name] > then[name]:
            return name
    return None


def _is_one_of(name: str, metrics: Sequence[str]) -> bool:
    """Say whether a word of the name is a metric's, as `rougeL` or `token_accuracy` are."""
    words = re.split(r"[_/ ]", name.lower())
    return any(w == m or (len(m) > 2 and w.startswith(m)) for w in words for m in metrics)


RULE = Rule("FT406", "overfits", Severity.WARNING, find)
