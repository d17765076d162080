"""An attention kernel that the model or the card refuses.

What it finds
    `sdpa` for Gemma 2, whose attention scores are capped; flash kernels on a card older than
    Ampere, on the CPU, or with weights that no two-byte type computes.

Why it matters
    The run would stop when the model is loaded, or leave the capping out.

Evidence it needs
    The model's architecture and the card.

Example
    ```yaml
    model: {name: google/gemma-2-2b, attention: sdpa}
    ```

What to do
    Leave `attention` out: the plan picks what works.

References
    transformers 5.23 `models/gemma2/modeling_gemma2.py`; flash-attention's README (Ampere on).
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.compiler.draft import Draft
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(draft: Draft) -> Iterator[Finding]:
    """Yield the finding."""
    asked, gpu = draft.spec.model.attention, draft.hardware.gpu
    shape = draft.model.shape
    reason = ""
    if asked == "sdpa" and shape is not None and shape.architecture == "gemma2":
        reason = "Gemma 2 caps its attention scores, which sdpa cannot"
    elif asked is not None and asked.startswith("flash"):
        needed = (9, 0) if asked == "flash_attention_3" else (8, 0)
        if gpu is None:
            reason = "the CPU has no such kernel"
        elif gpu.capability < needed:
            reason = f"{gpu.name} is too old: it needs compute capability {needed[0]}.{needed[1]}"
    if reason:
        yield RULE.finding(
            f"`attention: {asked}` cannot be used",
            route=("model", "attention"),
            found=reason,
            help="leave `attention` out",
            evidence={"attention": asked},
        )


RULE = Rule("FT165", "attention-refused", Severity.ERROR, find)
