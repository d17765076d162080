"""A warm-up that lasts to the end of the run.

What it finds
    `warmup` of as many steps as `max_steps`, or more. A share of the run is rounded up to whole
    steps first, so that any share of a run of one step is that step.

Why it matters
    The learning rate starts at 0 and never reaches the value that the spec names. A run of one
    step trains nothing at all.

Evidence it needs
    `train.warmup` and `train.max_steps`, both written.

Example
    ```yaml
    train: {max_steps: 100, warmup: 200}
    ```

What to do
    Write a share, such as `warmup: 0.03`, or fewer steps.

References
    transformers 5.23 `training_args.py`, `get_warmup_steps`: a share is rounded up;
    `optimization.py`: the factor of a warm-up step is step / warm-up steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule


def find(spec: Spec) -> Iterator[Finding]:
    """Yield the finding; the scheduler `constant` is left to the rule warmup-with-constant."""
    warmup, steps = spec.train.warmup, spec.train.max_steps
    if not warmup or steps is None or spec.train.scheduler == "constant":
        return
    taken = int(warmup) if warmup >= 1 else math.ceil(steps * warmup)
    if taken < steps:
        return
    better = 0.03 if steps > 1 else 0
    yield RULE.finding(
        f"the warm-up lasts {taken:,} step{'s' if taken > 1 else ''}, and `max_steps` is `{steps}`",
        route=("train", "warmup"),
        found="the learning rate never reaches its peak",
        help=f"write `warmup: {better}`" + (", a share of the run" if better else ""),
        evidence={"warmup_steps": taken, "max_steps": steps},
        prescriptions=(
            Prescription(
                (Edit("train.warmup", warmup, better),),
                f"{math.ceil(steps * better):,} of {steps:,} steps warm up then",
            ),
        ),
    )


RULE = Rule("FT124", "warmup-longer-than-run", Severity.ERROR, find)
