"""A run without evaluations.

What it finds
    Logs with ten training losses or more and not one held-out loss.

Why it matters
    Training loss falls whether the model learns the task or its rows. Overfitting, the best
    checkpoint, and whether a low loss is memory cannot be told.

Evidence it needs
    10 training losses.

Example
    ```
    {"loss": 0.31, "epoch": 4.9, "step": 2400}      and no `eval_loss` anywhere
    ```

What to do
    Hold rows out (`data.eval: 5%`) and evaluate some ten times in a run (`train.eval_steps`).

References
    The spec's own default: 5 %, at least 20 and at most 1,000 rows.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.words import count
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

RECORDS = 10


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for a run without evaluations."""
    if run.is_reinforcement or run.held_out or len(run.losses) < RECORDS:
        return
    yield RULE.finding(
        "there are no evaluations: whether it overfits cannot be told",
        found=f"{count(len(run.losses), 'training loss').replace('losss', 'losses')}, no held-out "
        "loss",
        help="hold rows out (`data.eval`) and evaluate some ten times in a run",
        evidence={"losses": len(run.losses), "not_judged": ["overfits", "early-stop-missed"]},
    )


RULE = Rule("FT432", "no-eval", Severity.INFO, find)
