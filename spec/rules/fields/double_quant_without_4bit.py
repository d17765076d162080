"""Double quantization of a base that is not in 4 bits.

What it finds
    `double_quant: true` where `quantization` is `int8` or `none`, or where it is left out and the
    method's base is not quantized.

Why it matters
    Double quantization packs the scales of 4-bit blocks. An 8-bit or 16-bit base has no such
    blocks, so the key would do nothing.

Evidence it needs
    `method.type`, `method.quantization` and `method.double_quant`.

Example
    ```yaml
    method: {type: qlora, quantization: int8, double_quant: true}
    ```

What to do
    Write `quantization: nf4`, or delete `double_quant`.

References
    transformers 5.23 `utils/quantization_config.py`: `bnb_4bit_use_double_quant` is read for 4-bit
    bases only. Full fine-tuning has a rule of its own, FT114.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule


def find(spec: Spec) -> Iterator[Finding]:
    """Yield the finding; `full` is left to the rule quantized-full."""
    method = spec.method
    base = method.quantization or ("nf4" if method.type == "qlora" else "none")
    if method.type == "full" or not method.double_quant or base in ("nf4", "fp4"):
        return
    patch = [Edit("method.quantization", method.quantization, "nf4")]
    if method.type == "lora":
        patch.insert(0, Edit("method.type", "lora", "qlora"))
    remedy = "`type: qlora`" if method.type == "lora" else "`quantization: nf4`"
    yield RULE.finding(
        "`double_quant` needs a base in 4 bits"
        + (f", and `quantization` is `{method.quantization}`" if method.quantization else ""),
        route=("method", "double_quant"),
        found="an 8-bit base" if base == "int8" else "the base is not quantized",
        help=f"write {remedy}, or delete `double_quant`",
        evidence={"method": method.type, "quantization": method.quantization},
        prescriptions=(Prescription(tuple(patch), "double quantization needs 4-bit blocks"),),
    )


RULE = Rule("FT117", "double-quant-without-4bit", Severity.ERROR, find)
