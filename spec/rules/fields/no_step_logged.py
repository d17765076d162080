"""A run that ends before its first log line.

What it finds
    `logging_steps` above `max_steps`.

Why it matters
    The loss is written every `logging_steps` steps and not at the end. A shorter run leaves no
    loss behind, and `diagnose` has nothing to read.

Evidence it needs
    `train.logging_steps` and `train.max_steps`, both written.

Example
    ```yaml
    train: {max_steps: 20, logging_steps: 50}
    ```

What to do
    Write a `logging_steps` that falls within the run.

References
    transformers 5.23 `trainer_callback.py`, `DefaultFlowCallback.on_step_end`: evaluation and
    checkpoint have a last turn at the end of the run, the log has none.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule


def find(spec: Spec) -> Iterator[Finding]:
    """Yield the finding."""
    every, steps = spec.train.logging_steps, spec.train.max_steps
    if every is None or steps is None or every <= steps:
        return
    better = max(1, steps // 10)
    yield RULE.finding(
        f"no loss is ever logged: `logging_steps` is `{every}`, `max_steps` is `{steps}`",
        route=("train", "logging_steps"),
        found=f"first log line after step {every:,}",
        help=f"write `logging_steps: {better}`",
        evidence={"logging_steps": every, "max_steps": steps},
        prescriptions=(
            Prescription(
                (Edit("train.logging_steps", every, better),),
                f"{steps // better} log lines in {steps} steps",
            ),
        ),
    )


RULE = Rule("FT146", "no-step-logged", Severity.WARNING, find)
