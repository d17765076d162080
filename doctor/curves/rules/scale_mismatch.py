"""Training and held-out loss that are not in the same unit.

What it finds
    Training loss that is 8 times the held-out loss or more, at every later evaluation. From 2.5
    times on it is information.

Why it matters
    The two cannot be compared, so overfitting cannot be seen. Mostly one of them is a sum where
    the other is a mean, and then the gradients are too large by the same factor.

Evidence it needs
    2 evaluations beside training losses. A held-out loss far above training loss is overfitting's
    matter (FT406).

Example
    ```
    training loss   15.9   6.1   5.0        held-out loss   0.35   0.31   0.30
    ```

What to do
    Look at what each is a mean over: tokens, rows, accumulation steps. Compare them once on the
    same rows.

References
    Dropout, and averages over a falling curve, make training loss the larger one, by tenths and
    not by multiples. Of 43 healthy logs two reach 2.5 times and none 8 times; that is why less is
    information.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.doctor.curves.rules.scales import scale
from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.words import factor, figure
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

EVALUATIONS = 2
WARNING, INFO = 8.0, 2.5


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for a training loss that is a multiple of the held-out loss."""
    seen = scale(run)
    if seen is None or seen.evaluations < EVALUATIONS or run.is_reinforcement:
        return
    if seen.lowest < INFO:
        return
    held_out = run.held_out[-1].loss or 0.0
    yield RULE.finding(
        f"training loss is {factor(seen.ratio)} the held-out loss",
        found=f"{figure(seen.lowest)} to {figure(seen.highest)} times in the later half of "
        f"{seen.evaluations} evaluations; held-out loss ends at {figure(held_out)}",
        help="look at what each is a mean over: tokens, rows, accumulation steps",
        evidence={
            "ratio": seen.ratio,
            "lowest": seen.lowest,
            "highest": seen.highest,
            "threshold": WARNING,
        },
        confidence=0.7 if seen.lowest >= WARNING else 0.4,
        severity=Severity.WARNING if seen.lowest >= WARNING else Severity.INFO,
    )


RULE = Rule("FT426", "scale-mismatch", Severity.WARNING, find)
