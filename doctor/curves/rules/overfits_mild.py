"""Held-out loss that creeps up, or stands still while training loss collapses.

What it finds
    Two kinds. *Creep*: held-out loss has risen by more than 1 % and by more than three times its
    noise since its lowest, over two evaluations or more, while training loss fell; more than 4 %
    is FT406. *Gap*: over the last half of the evaluations training loss fell by more than half, to
    under half of the held-out loss, and held-out loss did not fall by more than its noise.

Why it matters
    The last part of the run brings nothing for rows that were not trained on, and begins to cost.

Evidence it needs
    4 evaluations for the creep, 6 for the gap.

Example
    ```
    held-out loss   1.641   1.568   1.552   1.570   1.578
    training loss   2.2     1.8     1.7     1.6     1.55
    ```

What to do
    Take the checkpoint at the lowest held-out loss; next time train for fewer epochs, or stop
    early.

References
    FT406 for what is above 4 %. The noise is that of the run's own evaluations; three of it is
    FT406's bound too. Under 1 % the two checkpoints serve alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ftspec.doctor.curves.rules import diverges, overfits
from ftspec.doctor.curves.series import EvalRecord, Run
from ftspec.doctor.curves.statistics import median, noise_scale
from ftspec.doctor.curves.words import at, figure, share, span
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

CREEP_NEEDS, GAP_NEEDS = 4, 6  # evaluations
RISE = 0.01  # of the lowest held-out loss
RISE_IN_NOISE = 3.0
COLLAPSE = 0.5


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for overfitting that is beginning."""
    held_out = run.held_out
    if len(held_out) < CREEP_NEEDS or run.is_reinforcement:
        return
    if diverges.divergence(run) or overfits.rise(run):
        return
    losses = [record.loss for record in held_out if record.loss is not None]
    best = min(range(len(losses)), key=losses.__getitem__)
    found = _creep(run, held_out, losses, best) or _gap(run, held_out, losses, best)
    if found:
        yield found


def _creep(
    run: Run, held_out: Sequence[EvalRecord], losses: Sequence[float], best: int
) -> Finding | None:
    after = losses[best + 1 :]
    train = overfits.training_fall(run, held_out[best])
    if len(after) < 2 or train is None:
        return None
    lowest, end = losses[best], median(after[-3:])
    noise = noise_scale(losses) if len(losses) >= overfits.NOISE_NEEDS else 0.0
    if end <= lowest + max(RISE * lowest, RISE_IN_NOISE * noise):
        return None
    metric = overfits.better_metric(held_out, best)
    still = f"; {metric} still improves" if metric else ""
    return RULE.finding(
        f"held-out loss creeps up from {at(held_out, best)} on: {figure(lowest)} to "
        f"{figure(losses[-1])}, training loss falls",
        found=f"+{share((end - lowest) / lowest)} over {len(after)} evaluations (noise "
        f"{share(noise / lowest)}), training loss {figure(train[0])} to {figure(train[1])}{still}",
        help=f"take the checkpoint at {at(held_out, best)}; train for fewer epochs",
        evidence=_evidence(held_out, losses, best, train, noise) | {"metric_still_better": metric},
        confidence=0.4 if metric else 0.6,
        severity=Severity.INFO if metric else Severity.WARNING,
    )


def _gap(
    run: Run, held_out: Sequence[EvalRecord], losses: Sequence[float], best: int
) -> Finding | None:
    half = len(losses) // 2
    train = overfits.training_fall(run, held_out[half])
    if len(losses) < GAP_NEEDS or train is None:
        return None
    earlier, later = median(losses[half - 2 : half + 1]), median(losses[-3:])
    noise = noise_scale(losses)
    fell = earlier - later > max(RISE * earlier, noise)
    if fell or train[1] >= COLLAPSE * train[0] or train[1] >= COLLAPSE * later:
        return None
    return RULE.finding(
        f"training loss falls from {figure(train[0])} to {figure(train[1])} and held-out loss "
        f"stands still at {figure(later)}",
        found=f"since {at(held_out, half)}; held-out loss {figure(earlier)} there, noise "
        f"{figure(noise)}, lowest {figure(losses[best])} at {at(held_out, best)}",
        help=f"stop near {at(held_out, half)}: what came after was for the trained rows alone",
        evidence=_evidence(held_out, losses, best, train, noise),
        confidence=0.5,
    )


def _evidence(
    held_out: Sequence[EvalRecord],
    losses: Sequence[float],
    best: int,
    train: tuple[float, float],
    noise: float,
) -> dict[str, object]:
    return {
        "steps": span(held_out, best, len(held_out) - 1),
        "best_step": held_out[best].step,
        "best_epoch": held_out[best].epoch,
        "best_loss": losses[best],
        "end_loss": losses[-1],
        "noise": noise,
        "threshold": losses[best] + max(RISE * losses[best], RISE_IN_NOISE * noise),
        "train_at_best": train[0],
        "train_at_end": train[1],
    }


RULE = Rule("FT415", "overfits-mild", Severity.WARNING, find)
