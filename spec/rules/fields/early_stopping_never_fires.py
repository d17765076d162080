"""Early stopping that cannot come before the end.

What it finds
    Early stopping whose patience lasts as long as the run: (patience + 1) x `eval_steps` is
    `max_steps` or more.

Why it matters
    The first evaluation sets the mark and `patience` more have to fail it. A run that is over by
    then is never stopped early, and whoever relies on it is misled.

Evidence it needs
    `train.early_stopping`, `train.eval_steps` and `train.max_steps`, all written.

Example
    ```yaml
    train: {max_steps: 100, eval_steps: 50, early_stopping: {patience: 3}}
    ```

What to do
    Evaluate more often, lower `patience`, or write `early_stopping: false`.

References
    transformers 5.23 `trainer_callback.py`, `EarlyStoppingCallback.check_metric_value`.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.model import EarlyStopping, Spec
from ftspec.spec.rule import Rule


def find(spec: Spec) -> Iterator[Finding]:
    """Yield the finding."""
    stopping, every, steps = (
        spec.train.early_stopping,
        spec.train.eval_steps,
        spec.train.max_steps,
    )
    if not isinstance(stopping, EarlyStopping) or every is None or steps is None:
        return
    soonest = (stopping.patience + 1) * every
    if soonest < steps:
        return
    better = (steps - 1) // (stopping.patience + 1)
    patch = (Edit("train.eval_steps", every, better),)
    yield RULE.finding(
        f"`early_stopping` cannot stop this run early: `max_steps` is `{steps}`",
        route=("train", "early_stopping"),
        at_key=True,
        found=f"stops at step {soonest:,} at the soonest",
        help=f"write `eval_steps: {better}` or less, or `early_stopping: false`"
        if better
        else "write `early_stopping: false`, or a lower `patience`",
        evidence={"patience": stopping.patience, "eval_steps": every, "max_steps": steps},
        prescriptions=(
            (
                Prescription(
                    patch,
                    f"({stopping.patience} + 1) x {better} = {(stopping.patience + 1) * better}"
                    f" steps, before the end at {steps}",
                ),
            )
            if better
            else ()
        ),
    )


RULE = Rule("FT145", "early-stopping-never-fires", Severity.WARNING, find)
