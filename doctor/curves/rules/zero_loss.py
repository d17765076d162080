"""A loss of exactly zero, from the start.

What it finds
    Runs whose every logged loss is 0.0, with gradients that are finite.

Why it matters
    No model predicts every token with certainty. A loss of zero means that nothing was counted:
    every label is masked, and nothing is learnt.

Evidence it needs
    Three losses or more.

Example
    `{'loss': '0', 'grad_norm': '0', 'learning_rate': '2e-05'}` on every line.

What to do
    Look at the labels of a row: the answers must not be masked. Rows that are cut at
    `data.max_length` before their answer begins have none left: raise it. A chat template that
    another model brought may mark no answer at all.

References
    trl 6668 and LLaMA-Factory 2916 (loss 0.0 for two different reasons); transformers'
    `logging_nan_inf_filter` hides NaN as 0.0, with a gradient norm that is not finite: FT401.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.words import count
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

LEAST = 3  # records


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding where every loss is zero and no gradient is hidden behind it."""
    losses = [loss for loss in run.column("loss") if loss is not None]
    if run.is_reinforcement or len(losses) < LEAST or any(losses):
        return
    if any(not math.isfinite(norm or 0.0) for norm in run.column("grad_norm")):
        return
    yield RULE.finding(
        "the loss is 0.0 from the start: nothing is counted, so nothing is learnt",
        found=count(len(losses), "record"),
        help="look at the labels of a row: answers must not be masked; rows that are cut before\n"
        "their answer begins have none left (raise `data.max_length`)",
        evidence={"records": len(losses)},
        confidence=0.95,
    )


RULE = Rule("FT410", "zero-loss", Severity.ERROR, find)
