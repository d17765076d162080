"""A loss so low that the answers must be known beforehand.

What it finds
    Training loss that ends under 0.02, or under 0.1 where it began above 1.5 as text does, and
    under a twentieth of its start; held-out loss is as low, or the rows were seen too few times
    to be known by heart.

Why it matters
    No model predicts unseen text so well. The answer stands in the prompt, held-out rows are
    among the trained ones, padding is counted as answers, or the decoder sees its own labels.

Evidence it needs
    5 losses. An evaluation, or the epoch, tells it from memory (FT414).

Example
    ```
    training loss   19.2   0.011   0.0023
    held-out loss   0.054  0.0031  0.0022
    ```

What to do
    Look at three rows as the model sees them, labels beside tokens. `ftspec data check` finds
    rows that stand in both sets (`leakage`) and answers that repeat the prompt.

References
    Shannon, Prediction and entropy of printed English, 1951: 0.6 to 1.3 bits a letter.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.doctor.curves.rules.low_loss import low_loss
from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.words import figure
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for a loss that is too low and that memory does not explain."""
    seen = low_loss(run)
    if seen is None or seen.by_heart:
        return
    if seen.held_out is not None:
        title = f"training and held-out loss end at {figure(seen.end)} and {figure(seen.held_out)}"
        found = "held-out rows are predicted as well as trained ones"
    else:
        title = f"the loss ends at {figure(seen.end)}"
        found = f"after {seen.epochs or 0:.2g} epochs; there is no evaluation to compare it with"
    yield RULE.finding(
        f"{title}: too good to be true",
        found=f"{found}; the loss began at {figure(seen.start)}",
        help="look at three rows as the model sees them: is the answer in the prompt, is padding\n"
        "counted, are held-out rows among the trained ones (`ftspec data check`)",
        evidence={
            "start": seen.start,
            "end": seen.end,
            "held_out": seen.held_out,
            "epochs": seen.epochs,
            "threshold": seen.limit,
        },
        confidence=0.7 if seen.held_out is not None else 0.5,
    )


RULE = Rule("FT413", "suspicious-low", Severity.WARNING, find)
