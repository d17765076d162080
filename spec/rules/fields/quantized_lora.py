"""LoRA with a quantized base, which is called QLoRA here.

What it finds
    `quantization: nf4`, `fp4` or `int8` where the method is `lora`.

Why it matters
    `lora` promises a base in 16 or 32 bits, `qlora` a quantized one. The two keys contradict one
    another, and the memory needed differs by about a factor of three.

Evidence it needs
    `method.type` and `method.quantization`.

Example
    ```yaml
    method: {type: lora, quantization: nf4}
    ```

What to do
    Write `type: qlora`, or delete `quantization`.

References
    CONTRACT: `method.quantization` is a key of qlora, prefix and prompt. QLoRA: arXiv 2305.14314.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule


def find(spec: Spec) -> Iterator[Finding]:
    """Yield the finding."""
    quantization = spec.method.quantization
    if spec.method.type != "lora" or quantization in (None, "none"):
        return
    yield RULE.finding(
        f"`lora` has an unquantized base, and `quantization` is `{quantization}`",
        route=("method", "quantization"),
        found="LoRA on a quantized base is `qlora`",
        help="write `type: qlora`, or delete `quantization`",
        evidence={"quantization": quantization},
        prescriptions=(
            Prescription(
                (Edit("method.type", "lora", "qlora"),),
                f"LoRA on a base in {quantization} is QLoRA",
            ),
        ),
    )


RULE = Rule("FT115", "quantized-lora", Severity.ERROR, find)
