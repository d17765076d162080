"""A mixture of experts whose loss trl cannot form.

What it finds
    Families of experts whose config has no `num_experts`: granitemoe, granitemoeshared and
    phimoe, and glm4_moe and deepseek_v3 where their `config.json` asks for a balancing loss. It
    is asked for by `router_aux_loss_coef`, which the first three have even where nothing is
    written.

Why it matters
    trl adds the balancing loss itself and asks the config for `num_experts`. These have
    `num_local_experts` or `n_routed_experts`, and no other name for it: the first step ends with
    an AttributeError, whatever the method.

Evidence it needs
    The model's `model_type`, `router_aux_loss_coef` and `num_experts`.

Example
    A folder with granite-3.0-1b-a400m, and `method: lora`.

What to do
    Of a model in a folder: write `"router_aux_loss_coef": 0` into its `config.json`. The loss that
    keeps experts in balance is left out then; with a frozen router it moves no router. Or name
    another model.

References
    trl 1.16 `trainer/utils.py`, `_fused_forward`: `text_config.num_experts`; `sft_trainer.py`,
    `aux_loss_enabled`. transformers 5.23 `models/*/configuration_*.py`, `attribute_map`.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.compiler.draft import Draft
from ftspec.compiler.facts.config import text_config
from ftspec.compiler.facts.mixtures import NO_NUM_EXPERTS, balancing
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(draft: Draft) -> Iterator[Finding]:
    """Yield the finding."""
    shape, config = draft.model.shape, draft.model.config
    if shape is None or config is None or shape.architecture not in NO_NUM_EXPERTS:
        return
    keys = text_config(config)
    if keys.get("num_experts") is not None or not balancing(shape.architecture, keys):
        return
    # The catalogue holds what shapes memory; phimoe's published config may well say 0.
    told = draft.model.source != "catalogue" or shape.architecture != "phimoe"
    zero = '`"router_aux_loss_coef": 0`'
    if draft.model.folder is not None:
        help = f"write {zero} into its config.json, or name another model"
    elif told:
        help = f"name another model, or a folder whose config.json has {zero}"
    else:
        help = f"nothing is wrong where its config.json has {zero}; else name another model"
    yield RULE.finding(
        f"trl cannot train {shape.architecture}: its config has no `num_experts`",
        route=("model", "name"),
        found="its balancing loss ends with an AttributeError",
        help=help,
        severity=None if told else Severity.WARNING,
        confidence=1.0 if told else 0.5,
        evidence={
            "architecture": shape.architecture,
            "router_aux_loss_coef": balancing(shape.architecture, keys),
            "attribute": "num_experts",
        },
    )


RULE = Rule("FT192", "untrainable-mixture", Severity.ERROR, find)
