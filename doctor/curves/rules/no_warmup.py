"""A run that begins at its highest learning rate, and shows it.

What it finds
    Runs whose first logged rate is 90 % of the peak or more, whose loss or gradient norm jumps
    within the first tenth (loss by a tenth and three times the noise, or the norm to three times
    its later median), and that then recover.

Why it matters
    Adam's second moments are estimates from few gradients at first: its first steps are as large
    as any, in directions that are mostly noise.

Evidence it needs
    12 losses and learning rates. The rate must be logged early: at the twentieth step or before.

Example
    ```
    step 1: 2.1   step 2: 3.4   step 3: 3.0   step 10: 2.2   step 40: 1.7     (2e-4 from step 1)
    ```

What to do
    Set `train.warmup` to 0.03 (3 % of the steps), or to 0.1 in short runs.

References
    Ma and Yarats, On the adequacy of untuned warmup for adaptive optimization, arXiv 1910.04209:
    2 / (1 - beta2) steps, 2,000 for beta2 = 0.999.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.doctor.curves.rules.gradients import gradients
from ftspec.doctor.curves.rules.rates import rates
from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.statistics import median, noise_scale
from ftspec.doctor.curves.words import at, figure, span
from ftspec.spec.edit import number
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

RECORDS = 12
FIRST_STEP = 20
AT_PEAK = 0.9
JUMP, JUMP_IN_NOISE = 0.10, 3.0
GRADIENT = 3.0


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for a run without warm-up that jumps at the start."""
    losses, curve, seen = run.losses, run.curve, rates(run)
    if len(losses) < RECORDS or len(seen.values) < RECORDS or run.is_reinforcement:
        return
    planned = run.planned.warmup_steps if run.planned else None
    if planned or seen.values[0] < AT_PEAK * seen.peak or seen.peak <= 0:
        return
    if (curve[0].step or 0) > FIRST_STEP:
        return
    early = losses[: max(4, len(losses) // 10)]
    top = max(range(len(early)), key=early.__getitem__)
    jump = early[top] - early[0]
    jumps = jump > max(JUMP * early[0], JUMP_IN_NOISE * noise_scale(losses))
    norms = [norm for norm in run.column("grad_norm")[: len(early)] if norm is not None]
    later = median(gradients(run).norms)
    pulled = bool(norms) and later > 0 and max(norms[1:], default=0.0) > GRADIENT * later
    if not (jumps and (pulled or not norms)) or median(losses[-3:]) >= early[top]:
        return
    yield RULE.finding(
        f"the run begins at its full learning rate, {number(seen.peak)}, and jumps at "
        f"{at(curve, top)}",
        found=f"loss {figure(early[0])} to {figure(early[top])}"
        + (f", gradient norm up to {figure(max(norms))} (later {figure(later)})" if norms else ""),
        help="set `train.warmup` to 0.03, or to 0.1 in a short run",
        evidence={
            "steps": span(curve, 0, top),
            "start": early[0],
            "highest": early[top],
            "threshold": early[0] + max(JUMP * early[0], JUMP_IN_NOISE * noise_scale(losses)),
            "learning_rate": seen.peak,
        },
        confidence=0.6,
    )


RULE = Rule("FT424", "no-warmup", Severity.INFO, find)
