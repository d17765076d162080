"""A learning rate of zero.

What it finds
    Runs whose learning rate is exactly 0 in every record, three or more, and whose loss does not
    fall. (Where the loss falls, the rate was rounded to 0 when it was written.)

Why it matters
    Each step is a rate times a direction: nothing is learnt.

Evidence it needs
    3 learning rates.

Example
    `{'loss': 2.31, 'learning_rate': 0.0, 'epoch': 0.4}` on every line.

What to do
    Set `train.learning_rate`. A scheduler made for the wrong number of steps, or for none, gives
    zeros too, and so does a warm-up that is longer than the run.

References
    A first logged rate of 0 is ordinary: linear warm-up begins there.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.doctor.curves.rules.rates import rates
from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.statistics import shift
from ftspec.doctor.curves.words import count, figure, span
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

RECORDS = 3
ERRORS = 3.0
FALL = 0.05  # of the loss: less is no learning


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for a learning rate that is zero throughout."""
    seen = rates(run).values
    if len(seen) < RECORDS or any(seen):
        return
    losses = run.losses
    third = len(losses) // 3
    move, error = shift(losses[:third], losses[-third:]) if third else (0.0, 0.0)
    if third and -move > max(ERRORS * error, FALL * abs(losses[0])):
        return
    yield RULE.finding(
        "the learning rate is 0 in every record: nothing is learnt",
        found=f"{count(len(seen), 'record')}"
        + (f"; the loss goes from {figure(losses[0])} to {figure(losses[-1])}" if losses else ""),
        help="set `train.learning_rate`; look at the scheduler's number of steps and of warm-up "
        "steps",
        evidence={"records": len(seen), "steps": span(run.judged, 0, len(run.judged) - 1)},
        confidence=0.95,
    )


RULE = Rule("FT421", "lr-zero", Severity.ERROR, find)
