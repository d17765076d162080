"""Gradients that have all but gone while the loss is still high.

What it finds
    Runs whose gradient norm in the last half is under a thousandth of what it was in the first
    tenth, or under 1e-6, while the loss is above half of its start and no longer falls.

Why it matters
    The steps have no direction left. Something between the loss and the weights is saturated,
    cut off, or underflows in float16.

Evidence it needs
    20 gradient norms and 10 losses. A loss that has become small takes its gradients with it:
    that is the end of learning and no finding.

Example
    ```
    gradient norm   2.1   0.4   0.0008   0.0003   0.0003      loss   2.9   2.7   2.7   2.7   2.7
    ```

What to do
    With float16, use bfloat16, or a larger loss scale. Else look for a softmax or sigmoid that is
    saturated: scaled logits, extreme class weights, a learning rate that was far too high before.

References
    SageMaker Debugger's VanishingGradient takes a mean of 1e-7; AutoTrainer a ratio of 1e-3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ftspec.doctor.curves.rules.flat import CHANGE, LEARNT
from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.statistics import median
from ftspec.doctor.curves.words import count, figure, span
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

NORMS, LOSSES = 20, 10
RATIO = 1e-3
LOWEST = 1e-6
HIGH = 0.5  # of the loss at the start


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for gradients that have gone under a loss that has not."""
    norms = [n for n in run.column("grad_norm") if n is not None and math.isfinite(n)]
    losses = run.losses
    if len(norms) < NORMS or len(losses) < LOSSES or run.is_reinforcement:
        return
    start, end = median(norms[: len(norms) // 10]), median(norms[len(norms) // 2 :])
    if not 0 < end < max(RATIO * start, LOWEST):
        return
    half = losses[len(losses) // 2 :]
    part = len(half) // 2
    level = median(half)
    still = median(half[:part]) - median(half[part:]) < CHANGE * level
    if level < LEARNT or level < HIGH * max(losses[:3]) or not still:
        return
    yield RULE.finding(
        f"the gradients have gone: {figure(start)} to {figure(end)}, and the loss is still "
        f"{figure(level)}",
        found=f"medians of the first tenth and the last half of {count(len(norms), 'norm')}",
        help="use bfloat16 where float16 is used; look for a saturated output",
        evidence={
            "steps": span(run.judged, len(run.judged) // 2, len(run.judged) - 1),
            "start": start,
            "end": end,
            "loss": level,
            "threshold": max(RATIO * start, LOWEST),
        },
        confidence=0.7,
    )


RULE = Rule("FT418", "grad-vanishing", Severity.WARNING, find)
