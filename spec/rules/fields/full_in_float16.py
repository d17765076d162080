"""Full fine-tuning of weights in float16.

What it finds
    `model.dtype: float16` where the method is `full`.

Why it matters
    float16 training needs a gradient scaler, and the scaler refuses gradients that are in float16
    themselves: the run stops at its first step.

Evidence it needs
    `method.type` and `model.dtype`.

Example
    ```yaml
    model: {name: gpt2, dtype: float16}
    method: full
    ```

What to do
    Write `dtype: float32`, which computes under autocast, or `dtype: bfloat16` on a card that has
    it. Or leave the key out.

References
    torch `amp/grad_scaler.py`: "Attempting to unscale FP16 gradients."
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule


def find(spec: Spec) -> Iterator[Finding]:
    """Yield the finding."""
    if spec.method.type != "full" or spec.model.dtype != "float16":
        return
    yield RULE.finding(
        "`full` cannot train weights in `float16`",
        route=("model", "dtype"),
        found="the gradient scaler refuses float16 gradients",
        help="write `dtype: float32` or `dtype: bfloat16`, or delete `dtype`",
        prescriptions=(
            Prescription(
                (Edit("model.dtype", "float16", "float32"),),
                "float32 weights compute under autocast, and their gradients can be unscaled",
                expect="weights and gradients take twice the memory",
            ),
        ),
    )


RULE = Rule("FT133", "full-in-float16", Severity.ERROR, find)
