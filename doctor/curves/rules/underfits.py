"""A loss that still falls when the run ends.

What it finds
    Finished runs whose last quarter lost more than 3 % of the loss and more than four standard
    errors, and whose held-out loss, where there is one, was lowest at the last evaluation.

Why it matters
    More of the same would have brought more. It is no fault, and often a choice.

Evidence it needs
    20 losses, or 4 evaluations and 10 losses.

Example
    ```
    epoch 1.0: 1.9   epoch 2.0: 1.6   epoch 3.0: 1.4        held-out 1.8   1.6   1.5
    ```

What to do
    Train for longer, half as long again; or raise the learning rate, where the curve is smooth.

References
    Google's Deep Learning Tuning Playbook, on deciding how long to train. Steps at the ends of
    epochs are none of this: within an epoch nothing falls there.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.doctor.curves.rules import diverges
from ftspec.doctor.curves.rules.low_loss import LOW
from ftspec.doctor.curves.rules.staircase import staircase
from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.statistics import median, noise_scale
from ftspec.doctor.curves.words import at, figure, share, span
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

RECORDS = 20
FALL = 0.03  # of the loss, over the last quarter
ERRORS = 4.0


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for a loss that still falls at the end."""
    losses, curve = run.losses, run.curve
    if len(losses) < RECORDS or run.is_reinforcement or diverges.divergence(run):
        return
    eighth = max(3, len(losses) // 8)
    before, after = losses[-2 * eighth : -eighth], losses[-eighth:]
    # the standard error of a difference of two medians, from the noise around a smooth course
    error = 1.25 * noise_scale(losses) * (2 / eighth) ** 0.5
    level, move = median(after), median(after) - median(before)
    # both eighths' middles are an eighth apart: over the last quarter twice as much is lost
    fall = -2 * move
    if level < LOW or fall < max(FALL * level, 2 * ERRORS * error):
        return
    held_out = [record.loss for record in run.held_out if record.loss is not None]
    if held_out and not _still_falls(held_out):
        return
    if staircase(curve, losses):
        return
    yield RULE.finding(
        f"the loss still falls at the end, by {share(fall / level)} in the last quarter",
        found=f"{figure(median(before))} to {figure(level)} between the last two eighths"
        + (f"; held-out loss {figure(held_out[-1])}, its lowest" if held_out else ""),
        help="train for longer, or raise the learning rate where the curve is smooth",
        evidence={
            "steps": span(curve, len(losses) - 2 * eighth, len(losses) - 1),
            "fall": fall / level,
            "error": error,
            "threshold": FALL,
            "held_out": held_out[-1] if held_out else None,
            "from": at(curve, len(losses) - 2 * eighth),
        },
        confidence=0.7 if held_out else 0.5,
    )


def _still_falls(held_out: list[float]) -> bool:
    if len(held_out) < 2:
        return True
    noise = noise_scale(held_out) if len(held_out) > 3 else 0.0
    return held_out[-1] == min(held_out) and held_out[-2] - held_out[-1] > noise


RULE = Rule("FT416", "underfits", Severity.INFO, find)
