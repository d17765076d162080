"""A run that went on long after held-out loss had stopped improving.

What it finds
    Runs whose last ten evaluations or more, and at least half of all, brought no held-out loss
    below the lowest, and lie above it by more than their noise explains.

Why it matters
    What came after the best evaluation was paid for and made the model no better; and unless the
    best checkpoint was kept, it is not what is used.

Evidence it needs
    12 evaluations. With a rise of more than 1 % it is overfitting (FT406, FT415).

Example
    ```
    held-out loss   1.52   1.44   1.41   1.415   1.412   1.416   1.414   …   1.415
    ```

What to do
    Stop early (`train.early_stopping`), with a patience of three evaluations, and keep the best
    checkpoint.

References
    SageMaker Debugger's Overtraining: no improvement in 10 validations. transformers
    `EarlyStoppingCallback`, `load_best_model_at_end`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ftspec.doctor.curves.rules import diverges
from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.statistics import median, noise_scale
from ftspec.doctor.curves.words import at, figure, share, span
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

EVALUATIONS = 12
PATIENCE = 10
SHARE = 0.5  # of all evaluations


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for a run that should have been stopped."""
    held_out = run.held_out
    losses = [record.loss for record in held_out if record.loss is not None]
    if len(losses) < EVALUATIONS or run.is_reinforcement or diverges.divergence(run):
        return
    best = min(range(len(losses)), key=losses.__getitem__)
    after = losses[best + 1 :]
    if len(after) < max(PATIENCE, SHARE * len(losses)):
        return
    # the lowest of n values of one level lies up to sqrt(2 ln n) sigma under it by chance
    noise = noise_scale(losses)
    by_chance = noise * (2 * math.log(len(losses))) ** 0.5
    if median(after) <= losses[best] + by_chance or best == 0:
        return
    yield RULE.finding(
        f"held-out loss was lowest at {at(held_out, best)}, and the run went on for "
        f"{share(len(after) / len(losses))} of its evaluations",
        found=f"{figure(losses[best])} there, {figure(median(after))} since, {figure(losses[-1])} "
        f"at the end, noise {figure(noise)}",
        help=f"stop early, and take the checkpoint at {at(held_out, best)}",
        evidence={
            "steps": span(held_out, best, len(held_out) - 1),
            "best_step": held_out[best].step,
            "best_epoch": held_out[best].epoch,
            "best_loss": losses[best],
            "after": len(after),
            "noise": noise,
            "threshold": max(PATIENCE, SHARE * len(losses)),
        },
        confidence=0.6,
    )


RULE = Rule("FT430", "early-stop-missed", Severity.WARNING, find)
