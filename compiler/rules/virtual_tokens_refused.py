"""Virtual tokens that the model cannot take.

What it finds
    `method: prefix` on a mixture of experts with a balancing loss, on latent attention
    (deepseek_v2, deepseek_v3) and on a falcon whose heads share one key head; `method: prefix` and
    `method: prompt` on mpt.

Why it matters
    The run would stop at its first step, or before it. A prefix makes the mask longer than the
    tokens that the experts saw, and the balancing loss multiplies one by the other. It is kept as
    keys and values of hidden size over heads, with as many heads as the config's
    `num_key_value_heads` says, which neither latent attention nor such a falcon has. Of mpt, peft
    does not find the number of heads.

Evidence it needs
    The model's architecture, its key heads, and `router_aux_loss_coef` of its config.

Example
    ```yaml
    model: Qwen/Qwen3-30B-A3B
    method: prefix
    ```

What to do
    Write `method: lora`; or, but for mpt, `method: prompt`, whose tokens run through every layer
    as others do.

References
    trl 1.16 `trainer/utils.py`, `_fused_forward`; transformers 5.23 `modeling_mixtral.py`,
    `load_balancing_loss_func`, and `cache_utils.py`; peft 0.21 `peft_model.py`, `get_prompt`, and
    `utils/other.py`, `_prepare_prompt_learning_config`.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.compiler.draft import Draft
from ftspec.compiler.facts.config import text_config
from ftspec.compiler.facts.mixtures import NO_NUM_EXPERTS, balancing
from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.rule import Rule


def find(draft: Draft) -> Iterator[Finding]:
    """Yield the finding."""
    method = draft.spec.method
    reason = _refused(draft)
    if not reason:
        return
    architecture = draft.model.shape.architecture if draft.model.shape else ""
    yield RULE.finding(
        f"{method.type} tuning of {architecture} cannot be run",
        route=("method", "type"),
        found=reason,
        help="write `method: lora`" + ("" if _mpt(draft) else ", or `method: prompt`"),
        evidence={"method": method.type, "architecture": architecture},
        prescriptions=tuple(_instead(draft)),
    )


def _refused(draft: Draft) -> str:
    """Say why a method's virtual tokens are refused; empty where they are not."""
    kind, shape = draft.spec.method.type, draft.model.shape
    if shape is None or kind not in ("prefix", "prompt"):
        return ""
    if _mpt(draft):
        return "peft does not find how many heads it has"
    if kind == "prompt":
        return ""
    if shape.latent is not None:
        return "latent attention has no keys that a prefix could stand before"
    if shape.architecture == "falcon" and shape.kv_heads == 1:
        return "its heads share one key head, and peft makes a prefix for each"
    if shape.architecture in NO_NUM_EXPERTS:
        return ""  # whatever the method (FT192)
    if balancing(shape.architecture, text_config(draft.model.config or {})):
        return "the balancing loss meets a mask that is longer than the tokens"
    return ""


def _mpt(draft: Draft) -> bool:
    return draft.model.shape is not None and draft.model.shape.architecture == "mpt"


def _instead(draft: Draft) -> Iterator[Prescription]:
    method = draft.spec.method
    if method.num_virtual_tokens is None and method.init is None and method.init_text is None:
        name = "lora" if method.quantization in (None, "none") else "qlora"
        edit = Edit("method.type", method.type, name)
        yield Prescription((edit,), "adapters stand in the linear layers, not before the tokens")
    if method.type == "prefix" and not _mpt(draft):
        edit = Edit("method.type", "prefix", "prompt")
        yield Prescription((edit,), "its tokens run through every layer as others do")


RULE = Rule("FT193", "virtual-tokens-refused", Severity.ERROR, find)
