"""The families of decoders with a mixture of experts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from ftspec.compiler.facts.architecture import Architecture, Mixture, modules

_ATTENTION = modules(q_proj="q", k_proj="k", v_proj="v", o_proj="o")
_LATENT = modules(q_proj="q", kv_a_proj_with_mqa="kv", kv_b_proj="kv", o_proj="o")
_LATENT_QUERIES = modules(
    q_a_proj="q", q_b_proj="q", kv_a_proj_with_mqa="kv", kv_b_proj="kv", o_proj="o"
)
_ATTENTION_BIAS = (("attention_bias", "qkvo"),)

_FIRST_DENSE = Mixture(
    count=("n_routed_experts", "num_local_experts", "num_experts"),
    width=("moe_intermediate_size",),
    shared_count="n_shared_experts",
    dense="first",
)
# Experts are three-dimensional parameters, not linear layers: attention alone is adapted.
SPARSE: Mapping[str, Architecture] = MappingProxyType(
    {
        "mixtral": Architecture(_ATTENTION, kv_heads=8, positions=131072, mixture=Mixture()),
        "qwen2_moe": Architecture(
            _ATTENTION,
            biases="qkv",
            bias_keys=(("qkv_bias", "qkv"),),
            kv_heads=16,
            positions=32768,
            mixture=Mixture(
                count=("num_experts",),
                width=("moe_intermediate_size",),
                shared_width="shared_expert_intermediate_size",
                shared_gate=True,
                dense="every",
            ),
        ),
        "qwen3_moe": Architecture(
            _ATTENTION,
            qk_norm="head",
            bias_keys=_ATTENTION_BIAS,
            kv_heads=4,
            positions=32768,
            mixture=Mixture(
                count=("num_experts", "num_local_experts"),
                width=("moe_intermediate_size",),
                dense="every",
            ),
        ),
        "olmoe": Architecture(
            _ATTENTION,
            qk_norm="width",
            bias_keys=_ATTENTION_BIAS,
            positions=4096,
            flex=False,
            mixture=Mixture(count=("num_experts",)),
        ),
        "granitemoe": Architecture(_ATTENTION, bias_keys=_ATTENTION_BIAS, mixture=Mixture()),
        "granitemoeshared": Architecture(
            _ATTENTION,
            bias_keys=_ATTENTION_BIAS,
            mixture=Mixture(shared_width="shared_intermediate_size"),
        ),
        "gpt_oss": Architecture(
            _ATTENTION,
            biases="qkvo",
            bias_keys=_ATTENTION_BIAS,
            head_dim=64,
            kv_heads=8,
            positions=131072,
            sdpa=False,
            packs=False,  # its mask is made without position ids
            mixture=Mixture(biased=True),
        ),
        "phimoe": Architecture(
            _ATTENTION,
            norm_weights=4,
            final_norm=2,
            bias_keys=_ATTENTION_BIAS,
            head_bias_key="lm_head_bias",
            kv_heads=8,
            positions=131072,
            mixture=Mixture(),
        ),
        "glm4_moe": Architecture(
            _ATTENTION,
            qk_norm_key=("use_qk_norm", "head", False),
            bias_keys=(("attention_bias", "qkv"),),
            kv_heads=8,
            positions=131072,
            mixture=_FIRST_DENSE,
        ),
        "deepseek_v2": Architecture(_LATENT, divides=True, mixture=_FIRST_DENSE),
        "deepseek_v3": Architecture(_LATENT, kv_heads=128, positions=4096, mixture=_FIRST_DENSE),
    }
)

# The same where queries are made in two steps (`q_lora_rank`).
LATENT_QUERIES: Mapping[str, Architecture] = MappingProxyType(
    {
        kind: replace(SPARSE[kind], modules=_LATENT_QUERIES)
        for kind in ("deepseek_v2", "deepseek_v3")
    }
)

# The weight of the loss that keeps experts in balance where a config.json does not say
# (`router_aux_loss_coef`, transformers 5.23 `configuration_*.py`); the other families have none.
BALANCING: Mapping[str, float] = MappingProxyType(
    {
        "mixtral": 0.001,
        "qwen2_moe": 0.001,
        "qwen3_moe": 0.001,
        "olmoe": 0.01,
        "granitemoe": 0.001,
        "granitemoeshared": 0.001,
        "gpt_oss": 0.001,
        "phimoe": 0.001,
    }
)
# Families whose configs have no `num_experts`, by that name or another (`attribute_map`).
NO_NUM_EXPERTS = ("granitemoe", "granitemoeshared", "phimoe", "glm4_moe", "deepseek_v3")


def balancing(kind: str, keys: Mapping[str, Any]) -> float:
    """Return the weight of the balancing loss that trl adds for a family; 0: none.

    keys: those of its config.json. What is there and no number counts as 0.
    """
    if kind not in SPARSE:
        return 0.0
    stated = keys.get("router_aux_loss_coef", BALANCING.get(kind, 0.0))
    number = isinstance(stated, int | float) and not isinstance(stated, bool)
    return float(stated) if number else 0.0
