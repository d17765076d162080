"""Full fine-tuning of a quantized model.

What it finds
    `quantization` other than `none`, or `double_quant: true`, where the method is `full`.

Why it matters
    Quantized weights are integers: they take no gradient, so nothing could be trained.

Evidence it needs
    `method.type`, `method.quantization` and `method.double_quant`.

Example
    ```yaml
    method: {type: full, quantization: nf4}
    ```

What to do
    Train an adapter on the quantized base, `type: qlora`; or delete the key and train in 16 or 32
    bits.

References
    transformers 5.23 `trainer_utils.py`, `validate_quantization_for_training`: "You cannot perform
    fine-tuning on purely quantized models".
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule


def find(spec: Spec) -> Iterator[Finding]:
    """Yield the finding at `quantization`, or at `double_quant` where it stands alone."""
    method = spec.method
    quantized = method.quantization not in (None, "none")
    if method.type != "full" or not (quantized or method.double_quant):
        return
    key = "quantization" if quantized else "double_quant"
    written = method.quantization if quantized else "true"
    yield RULE.finding(
        f"`full` cannot train a quantized model: `{key}: {written}`",
        route=("method", key),
        found="quantized weights take no gradient",
        help=f"write `type: qlora` to train an adapter on the quantized base, or delete `{key}`",
        evidence={"quantization": method.quantization, "double_quant": method.double_quant},
        prescriptions=(
            Prescription(
                (Edit("method.type", "full", "qlora"),),
                "a quantized base is trained through an adapter",
                expect="only the adapter is trained; the base stays as it is",
            ),
        ),
    )


RULE = Rule("FT114", "quantized-full", Severity.ERROR, find)
