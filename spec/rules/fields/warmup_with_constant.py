"""A warm-up that a constant learning rate does not have.

What it finds
    `warmup` above 0 where the scheduler is `constant`.

Why it matters
    The constant schedule drops the warm-up in silence: the first step has the full learning rate.

Evidence it needs
    `train.scheduler` and `train.warmup`.

Example
    ```yaml
    train: {scheduler: constant, warmup: 0.03}
    ```

What to do
    Write `scheduler: constant_with_warmup`, or delete `warmup`.

References
    transformers 5.23 `optimization.py`, `get_scheduler`: for `constant` the number of warm-up steps
    is not passed on.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule


def find(spec: Spec) -> Iterator[Finding]:
    """Yield the finding."""
    train = spec.train
    if train.scheduler != "constant" or not train.warmup:
        return
    yield RULE.finding(
        f"the scheduler `constant` has no warm-up, and `warmup` is `{train.warmup:g}`",
        route=("train", "warmup"),
        found="would be dropped",
        help="write `scheduler: constant_with_warmup`, or delete `warmup`",
        evidence={"warmup": train.warmup},
        prescriptions=(
            Prescription(
                (Edit("train.scheduler", "constant", "constant_with_warmup"),),
                "this schedule warms up first and is constant after that",
            ),
        ),
    )


RULE = Rule("FT123", "warmup-with-constant", Severity.ERROR, find)
