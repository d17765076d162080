"""QLoRA without quantization, which is LoRA.

What it finds
    `quantization: none` where the method is `qlora`.

Why it matters
    The Q is the quantized base. Without it the run needs about three times the memory that
    `qlora` promises.

Evidence it needs
    `method.type` and `method.quantization`.

Example
    ```yaml
    method: {type: qlora, quantization: none}
    ```

What to do
    Write `type: lora`; or delete `quantization`, which then is `nf4`.

References
    QLoRA: arXiv 2305.14314, section 3.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule


def find(spec: Spec) -> Iterator[Finding]:
    """Yield the finding."""
    if spec.method.type != "qlora" or spec.method.quantization != "none":
        return
    yield RULE.finding(
        "`qlora` has a quantized base, and `quantization` is `none`",
        route=("method", "quantization"),
        found="LoRA on an unquantized base is `lora`",
        help="write `type: lora`; or delete `quantization`: it is `nf4` for `qlora`",
        prescriptions=(
            Prescription(
                (Edit("method.type", "qlora", "lora"),), "QLoRA without quantization is LoRA"
            ),
        ),
    )


RULE = Rule("FT116", "qlora-unquantized", Severity.ERROR, find)
