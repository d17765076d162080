"""Rows that are learnt by heart.

What it finds
    Training loss that ends under 0.02, or under 0.1 where it began above 1.5 as text does, and
    under a twentieth of its start, where held-out loss is not as low, or there is none and the
    rows were seen three times or more. As information: a loss that falls in steps at the ends of
    epochs to less than half of what it was in the first.

Why it matters
    The model repeats its rows. What it says about others is not seen in this log, and mostly
    worse than a few epochs earlier.

Evidence it needs
    5 losses; 16 records an epoch for the steps.

Example
    ```
    epoch 1: 0.474   epoch 2: 0.026   epoch 4: 0.011   epoch 6: 0.008
    ```

What to do
    Train for fewer epochs, and hold rows out to see the turning point. A loss that steps down
    with each epoch and stays well above zero is ordinary.

References
    Steps at the ends of epochs are healthy in themselves: 10 of 133 healthy real logs have them
    (Alpaca's own: 1.08, 0.73, 0.43).
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.doctor.curves.rules.low_loss import LowLoss, low_loss
from ftspec.doctor.curves.rules.staircase import staircase
from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.words import figure
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

HALF = 0.5  # last epoch's level, of the first's


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for rows that are known by heart, or are about to be."""
    seen = low_loss(run)
    if seen is not None:
        if seen.by_heart:
            yield _by_heart(seen)
        return
    if run.is_reinforcement:
        return
    levels = staircase(run.curve, run.losses)
    if levels and levels[-1] < HALF * levels[0] and not run.held_out:
        shown = [levels[0], *levels[1:-1][-2:], levels[-1]]
        yield RULE.finding(
            f"the loss steps down with each epoch: {', '.join(map(figure, shown))}",
            found=f"{len(levels)} epochs; rows are being learnt by heart, and whether that harms "
            "cannot be told without evaluations",
            help="hold rows out (`data.eval`) to see where it turns",
            evidence={"levels": levels, "threshold": HALF * levels[0]},
            confidence=0.6,
            severity=Severity.INFO,
        )


def _by_heart(seen: LowLoss) -> Finding:
    compared = (
        f"held-out loss is {figure(seen.held_out)}"
        if seen.held_out is not None
        else "there is no evaluation that says what other rows give"
    )
    epochs = f" after {seen.epochs:.2g} epochs" if seen.epochs else ""
    return RULE.finding(
        f"the rows are learnt by heart: training loss ends at {figure(seen.end)}{epochs}",
        found=f"it began at {figure(seen.start)}; {compared}",
        help="train for fewer epochs, and hold rows out to see the turning point",
        evidence={
            "start": seen.start,
            "end": seen.end,
            "held_out": seen.held_out,
            "epochs": seen.epochs,
            "threshold": seen.limit,
        },
        confidence=0.8 if seen.held_out is not None else 0.6,
    )


RULE = Rule("FT414", "memorises", Severity.WARNING, find)
