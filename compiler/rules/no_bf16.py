"""bfloat16 on a card that has none.

What it finds
    `model.dtype: bfloat16` for a card older than compute capability 8.0 (Ampere).

Why it matters
    Such cards emulate bfloat16 at a fraction of their speed, or refuse it.

Evidence it needs
    The card's compute capability.

Example
    ```yaml
    model: {name: gpt2, dtype: bfloat16}
    hardware: {gpu: t4}
    ```

What to do
    Write `dtype: float16`; the trained weights stay float32, under autocast. For `method: full`
    write `dtype: float32`: all weights are trained there, and the gradient scaler of float16
    takes float32 alone.

References
    NVIDIA CUDA C++ programming guide, arithmetic by compute capability. PyTorch,
    `torch.amp.GradScaler`.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.compiler.draft import Draft
from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.rule import Rule


def find(draft: Draft) -> Iterator[Finding]:
    """Yield the finding."""
    gpu = draft.hardware.gpu
    if gpu is None or gpu.bf16 or draft.spec.model.dtype != "bfloat16":
        return
    full = draft.spec.method.type == "full"
    dtype = "float32" if full else "float16"
    reason = "the card computes in float16"
    yield RULE.finding(
        f"`bfloat16` is asked for, and {gpu.name} has none",
        route=("model", "dtype"),
        found=f"compute capability {gpu.capability[0]}.{gpu.capability[1]}; bf16 needs 8.0",
        help=f"write `dtype: {dtype}`, or leave it out",
        evidence={"gpu": gpu.name, "capability": list(gpu.capability)},
        prescriptions=(
            Prescription(
                (Edit("model.dtype", "bfloat16", dtype),),
                f"{reason}; weights that are trained stay float32" if full else reason,
            ),
        ),
    )


RULE = Rule("FT164", "no-bf16", Severity.ERROR, find)
