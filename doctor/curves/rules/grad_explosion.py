"""Gradients that grow and do not come back.

What it finds
    Runs whose gradient norm in the last tenth is more than ten times the lowest level it had,
    and grows to it over the run, while the loss is no better than before the growth.

Why it matters
    Clipping hides it from the weights at first: each step then points where the largest rows
    pull. What follows is a divergence or NaN.

Evidence it needs
    20 gradient norms. Single peaks, and large norms at the start, are ordinary and no finding.

Example
    ```
    step 100: 1.2   step 400: 1.1   step 600: 9   step 700: 60   step 800: 310
    ```

What to do
    Go back to a checkpoint before the growth, and divide the learning rate by five. Where
    `train.max_grad_norm` is 0, set it to 1.

References
    AutoTrainer calls a ratio of 70 between layers an explosion (ICSE 2021); ZClip and OLMo-core
    act on 2.5 and 6 standard deviations of single norms, which healthy runs reach in warm-up.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.doctor.curves.rules.gradients import gradients
from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.statistics import median, noise_scale, rolling_median
from ftspec.doctor.curves.words import at, factor, figure, span
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

RECORDS = 20
GROWTH = 10.0


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for gradients that grow until the end."""
    seen = gradients(run)
    norms = seen.norms
    if len(norms) < RECORDS or run.is_reinforcement:
        return
    window = min(51, max(5, len(norms) // 10)) | 1
    smooth = rolling_median(norms, window)
    lowest = min(range(len(smooth)), key=smooth.__getitem__)
    floor, end = smooth[lowest], median(norms[-max(5, len(norms) // 10) :])
    if floor <= 0 or end <= GROWTH * floor or lowest > 0.8 * len(norms):
        return
    if end < 0.5 * max(smooth[lowest:]):  # it has been higher and comes back
        return
    bar = floor + 0.1 * (end - floor)
    onset = max((i for i in range(lowest, len(smooth)) if smooth[i] <= bar), default=lowest)
    judged = run.judged
    first, begins, last = seen.places[lowest], seen.places[onset], seen.places[-1]
    losses = run.column("loss")
    before = [loss for loss in losses[:begins][-window:] if loss is not None]
    after = [loss for loss in losses[begins:][-window:] if loss is not None]
    if before and after and median(after) < median(before) - noise_scale(run.losses):
        return  # it learns
    yield RULE.finding(
        f"the gradient norm grows from {at(judged, begins)} on, to "
        f"{factor(end / floor)} its lowest level",
        found=f"{figure(floor)} around {at(judged, first)}, {figure(end)} at the end; the loss is "
        "no better for it",
        help="go back to a checkpoint before the growth and divide the learning rate by five",
        evidence={
            "steps": span(judged, begins, last),
            "lowest": floor,
            "end": end,
            "threshold": GROWTH * floor,
            "learning_rate": judged[begins].learning_rate,
        },
        confidence=0.7,
    )


RULE = Rule("FT417", "grad-explosion", Severity.WARNING, find)
