"""A training loss that is counted several times over.

What it finds
    Training loss that is as many times the held-out loss as there are accumulation steps, within
    15 %, where the log tells their number. Without it: a loss that stays, over the whole last
    half, above what a uniform guess over the largest vocabulary would give. As information: a
    loss that only begins there.

Why it matters
    The loss, and with it every gradient, is that many times too large. Clipping then cuts every
    step, and the learning rate means something else than it says.

Evidence it needs
    2 evaluations beside training losses and the number of accumulation steps; or 6 losses.

Example
    ```
    gradient_accumulation 16:   training loss 22.4   20.9   20.1     held-out loss 1.39   1.31
    ```

What to do
    Upgrade transformers: versions before its pull request 35438 summed the loss over accumulation
    steps for some models. In a loop of your own, divide by the number of accumulation steps, once.

References
    huggingface/transformers#34263 and #35438; hiyouga/LLaMA-Factory#7443 (6.4, 13.7, 69 and 138
    with 2, 4, 16 and 32 steps). ln 262,144 = 12.48, Gemma 3's vocabulary; 15 % more as margin.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ftspec.doctor.curves.rules.scales import scale
from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.statistics import median
from ftspec.doctor.curves.words import factor, figure
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

RECORDS, EVALUATIONS = 6, 2
NEAR = 0.15  # of the number of accumulation steps
ABOVE_GUESSING = 1.15 * math.log(262_144)

HELP = "upgrade transformers; in a loop of your own, divide by the number of accumulation steps"


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for a loss that is counted several times."""
    if run.is_reinforcement:
        return
    found = _times_accumulation(run) or _above_guessing(run)
    if found:
        yield found


def _times_accumulation(run: Run) -> Finding | None:
    accumulation = run.planned.accumulation if run.planned else None
    seen = scale(run)
    if not accumulation or accumulation < 2 or seen is None or seen.evaluations < EVALUATIONS:
        return None
    if abs(seen.ratio / accumulation - 1) > NEAR:
        return None
    return RULE.finding(
        f"training loss is {factor(seen.ratio)} the held-out loss, with {accumulation} "
        "accumulation steps: it is summed over them",
        found=f"over the later half of {seen.evaluations} evaluations: {figure(seen.lowest)} to "
        f"{figure(seen.highest)} times",
        help=HELP,
        evidence={
            "ratio": seen.ratio,
            "accumulation": accumulation,
            "threshold": [accumulation * (1 - NEAR), accumulation * (1 + NEAR)],
        },
        confidence=0.9 if accumulation > 2 else 0.6,
    )


def _above_guessing(run: Run) -> Finding | None:
    losses = run.losses
    if len(losses) < RECORDS:
        return None
    start, level = median(losses[:5]), median(losses[len(losses) // 2 :])
    lowest = min(losses)
    stays = level > ABOVE_GUESSING and lowest > ABOVE_GUESSING / 1.15
    begins = start > ABOVE_GUESSING and min(losses[:5]) > ABOVE_GUESSING
    if not stays and not begins:
        return None
    what = f"stays at {figure(level)}" if stays else f"begins at {figure(start)}"
    return RULE.finding(
        f"the loss {what}, above any guess: ln 262,144 = 12.5",
        found="a sum over accumulation steps, over tokens or over several losses, or a model that "
        "is worse than guessing",
        help=HELP,
        evidence={"start": start, "level": level, "threshold": ABOVE_GUESSING},
        confidence=0.7 if stays else 0.4,
        severity=Severity.WARNING if stays else Severity.INFO,
    )


RULE = Rule("FT425", "loss-scale", Severity.WARNING, find)
