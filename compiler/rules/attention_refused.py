"""An attention kernel that the model or the card refuses.

What it finds
    A kernel that transformers does not load the model with, such as `sdpa` for Gemma 2, whose
    attention scores are capped; flash kernels on a card older than Ampere, or on the CPU.

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
    transformers 5.23 `models/*/modeling_*.py`, `_supports_sdpa`, `_supports_flash_attn`,
    `_supports_flex_attn`; flash-attention's README (Ampere on).
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.compiler.draft import Draft
from ftspec.compiler.facts.shape import Shape
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(draft: Draft) -> Iterator[Finding]:
    """Yield the finding."""
    asked, shape = draft.spec.model.attention, draft.model.shape
    reason = ""
    if asked is not None:
        reason = (_model_refuses(asked, shape) if shape else "") or _card_refuses(asked, draft)
    if reason:
        yield RULE.finding(
            f"`attention: {asked}` cannot be used",
            route=("model", "attention"),
            found=reason,
            help="leave `attention` out",
            evidence={"attention": asked},
        )


def _model_refuses(asked: str, shape: Shape) -> str:
    """Say why the model is not loaded with a kernel; empty where it is, or is not known here."""
    family = shape.family
    if family is None or asked == "eager":
        return ""
    if asked == "sdpa" and shape.architecture == "gemma2":
        return "Gemma 2 caps its attention scores, which sdpa cannot"
    flash, flex = asked.startswith("flash"), asked == "flex_attention"
    loads = family.flash if flash else family.flex if flex else family.sdpa
    return "" if loads else f"transformers does not load {shape.architecture} with it"


def _card_refuses(asked: str, draft: Draft) -> str:
    if not asked.startswith("flash"):
        return ""
    gpu, needed = draft.hardware.gpu, (9, 0) if asked == "flash_attention_3" else (8, 0)
    if gpu is None:
        return "the CPU has no such kernel"
    if gpu.capability < needed:
        return f"{gpu.name} is too old: it needs compute capability {needed[0]}.{needed[1]}"
    return ""


RULE = Rule("FT165", "attention-refused", Severity.ERROR, find)
