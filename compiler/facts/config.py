"""Read a config.json into a `Shape`; what lies, lacks a width or is absurd is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from ftspec.compiler.facts.architecture import Architecture, Mixture, QkNorm
from ftspec.compiler.facts.architectures import ARCHITECTURES
from ftspec.compiler.facts.config_keys import (
    MOST_EXPERTS,
    MOST_PARAMETERS,
    MOST_POSITIONS,
    MOST_VOCAB,
    Keys,
    MissingKeyError,
    ModelUnreadableError,
    short,
)
from ftspec.compiler.facts.shape import Latent, Shape

__all__ = ["MissingKeyError", "ModelUnreadableError", "shape_of", "text_config"]

# What a `text_config` inside another config leaves out where it is the class's default
# (transformers 5.23, `configuration_*.py`); a config.json on its own states these.
NESTED_DEFAULTS: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "gemma3_text": {
            "hidden_size": 2304,
            "intermediate_size": 9216,
            "num_hidden_layers": 26,
            "num_attention_heads": 8,
            "vocab_size": 262208,
        },
        "llama": {
            "hidden_size": 4096,
            "intermediate_size": 11008,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "vocab_size": 32000,
        },
        "mistral": {
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "vocab_size": 32000,
        },
    }
)
_UNKNOWN = Architecture(MappingProxyType({}))  # where the family is not known


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the keys of the language model: a `text_config` inside is laid over the others.

    Returns `config` itself where there is none, or where its family reads none.
    """
    nested, kind = config.get("text_config"), config.get("model_type")
    if not isinstance(nested, dict) or not nested:
        return config
    if isinstance(kind, str) and kind in ARCHITECTURES:
        return config
    inner = nested.get("model_type")
    defaults = NESTED_DEFAULTS.get(inner, {}) if isinstance(inner, str) else {}
    return {**config, **defaults, **nested}


def shape_of(config: Mapping[str, Any], shown: str) -> Shape:
    """Read the widths out of a config.json; `shown` is what messages call it.

    Raises MissingKeyError where widths are missing, ModelUnreadableError where one is no number,
    absurd, or contradicts another; all that is wrong with it is told at once.
    """
    kind, words = _kind(config)
    # Without a kind it is not known which keys may be missing: those that no family goes without.
    family = ARCHITECTURES.get(kind, replace(_UNKNOWN, four_hidden=not kind))
    flat = text_config(config)
    inside = config["text_config"] if flat is not config else ()
    keys = Keys(flat, shown, kind in ARCHITECTURES, inside)
    if words is not None and flat.get("model_type") is None:
        keys.lacks("model_type", "the name of a family, such as llama")
    elif words is not None:
        keys.refuse(words, "model_type", "the name of a family, such as llama")
    shape = _shape(kind, family, keys)
    if not keys.faults and shape.parameters > MOST_PARAMETERS:
        keys.refuse(
            f"its widths make {shape.parameters / 1e9:,.0f} billion parameters, "
            f"more than {MOST_PARAMETERS / 1e9:,.0f}"
        )
    keys.raise_faults()
    return shape


def _kind(config: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return the `model_type`, or "" and what is wrong with it."""
    kind = text_config(config).get("model_type")
    if not isinstance(kind, str) or not kind:
        return "", f"`model_type` is {short(kind)}, not a name"
    if not kind.isprintable() or len(kind) > 64:
        return "", f"`model_type` is no name: {kind[:64]!r}"
    return kind, None


def _shape(kind: str, family: Architecture, keys: Keys) -> Shape:
    hidden = keys.number("hidden_size", "n_embd", "d_model", "n_embed")
    heads = keys.number("num_attention_heads", "n_head", "n_heads", "num_heads")
    kv_heads = _kv_heads(kind, family, keys, heads)
    latent = _latent(keys) if kind in ("deepseek_v2", "deepseek_v3") else None
    mixture = _mixture(family.mixture, keys) if family.mixture else _unknown_mixture(keys)
    return Shape(
        architecture=kind,
        layers=keys.layers,
        hidden=hidden,
        ffn=_ffn(family, keys, hidden),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=_head_dim(family, keys, hidden, heads, latent),
        vocab=keys.number("vocab_size", most=MOST_VOCAB),
        tied=keys.flag("tie_word_embeddings", family.tied),
        positions=keys.number(
            "max_position_embeddings",
            "n_positions",
            "n_ctx",
            "max_seq_len",
            default=family.positions,
            most=MOST_POSITIONS,
        ),
        biases=_biases(family, keys),
        norm_weights=_norm_weights(kind, family, keys),
        embedding=_embedding(kind, keys, hidden),
        qk_norm=_qk_norm(family, keys),
        extra_weights={"gpt_oss": heads, "apertus": 2}.get(kind, 0),  # sinks; xIELU's two scalars
        last_norm=kind != "opt" or keys.flag("do_layer_norm_before", True),
        head_bias=keys.flag(family.head_bias_key, False) or family.head_bias,
        latent=latent,
        **mixture,
    )


def _kv_heads(kind: str, family: Architecture, keys: Keys, heads: int) -> int:
    """Return the number of key heads; the older families have one for each head, or one."""
    if kind in ("falcon", "gpt_bigcode") and not keys.flag("new_decoder_architecture", False):
        return 1 if keys.flag("multi_query", True) else heads
    if family.split and kind not in ("falcon", "stablelm"):
        return heads
    stated = keys.number("num_key_value_heads", "num_kv_heads", default=family.kv_heads or heads)
    if heads % stated:
        keys.contradiction(
            ("num_key_value_heads", "num_kv_heads", "num_attention_heads"),
            f"{heads:,} heads do not divide by {stated:,} key heads",
            f"a divisor of {heads:,}",
        )
    return stated


def _head_dim(
    family: Architecture, keys: Keys, hidden: int, heads: int, latent: Latent | None
) -> int:
    """Return a head's width; transformers refuses some that do not divide the hidden one."""
    undivided = (family.split or family.divides) and hidden % heads
    unstated = latent is None and family.head_dim is None and keys.config.get("head_dim") is None
    if undivided or (unstated and hidden < heads):
        keys.contradiction(
            ("num_attention_heads", "n_head", "n_heads", "num_heads", "hidden_size"),
            f"a hidden size of {hidden:,} does not divide by {heads:,} heads",
            f"a divisor of {hidden:,}",
        )
    if latent is not None:
        return latent.nope + latent.rope
    if family.split:
        return hidden // heads
    return keys.number("head_dim", default=family.head_dim or hidden // heads)


def _ffn(family: Architecture, keys: Keys, hidden: int) -> int:
    default = 4 * hidden if family.four_hidden else None
    return keys.number(
        "intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", default=default
    )


def _latent(keys: Keys) -> Latent:
    asked = "q_lora_rank" in keys.config  # null says that queries are made in one step
    return Latent(
        query_rank=keys.number("q_lora_rank", default=0 if asked else 1536),
        kv_rank=keys.number("kv_lora_rank", default=512),
        nope=keys.number("qk_nope_head_dim", default=128),
        rope=keys.number("qk_rope_head_dim", default=64),
        value=keys.number("v_head_dim", default=128),
    )


def _mixture(mixture: Mixture, keys: Keys) -> dict[str, Any]:
    """Return the fields of `Shape` that describe experts."""
    experts = keys.number(*mixture.count, least=0, most=MOST_EXPERTS)
    per_token = keys.number(*mixture.per_token, least=0, most=MOST_EXPERTS)
    if per_token > experts:
        keys.contradiction(
            (*mixture.per_token, *mixture.count),
            f"`{mixture.per_token[0]}` is {per_token:,}, but there are {experts:,} experts",
            f"a whole number from 1 to {experts:,}",
        )
    width = keys.number(*mixture.width)
    shared = keys.number(mixture.shared_width, default=0, least=0)
    if mixture.shared_count:
        shared = width * keys.number(mixture.shared_count, default=0, least=0, most=MOST_EXPERTS)
    return {
        "experts": experts,
        "experts_per_token": per_token,
        "expert_ffn": width,
        "shared_ffn": shared,
        "dense_layers": _dense_layers(mixture, keys),
    }


def _dense_layers(mixture: Mixture, keys: Keys) -> int:
    if mixture.dense == "first":
        return min(keys.layers, keys.number("first_k_dense_replace", default=0, least=0))
    if mixture.dense != "every":
        return 0
    step = keys.number("decoder_sparse_step", default=1)
    plain = keys.config.get("mlp_only_layers") or []
    if not isinstance(plain, list) or not all(type(number) is int for number in plain):
        words = f"`mlp_only_layers` is {short(plain)}, not a list of numbers"
        keys.refuse(words, "mlp_only_layers", "a list of block numbers from 0")
        return 0
    numbers = set(plain)
    return sum(number in numbers or (number + 1) % step != 0 for number in range(keys.layers))


def _unknown_mixture(keys: Keys) -> dict[str, Any]:
    count = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
    experts = keys.number(*count, default=0, least=0, most=MOST_EXPERTS)
    chosen = ("num_experts_per_tok", "moe_k")
    per_token = keys.number(*chosen, default=0, least=0, most=MOST_EXPERTS)
    return {"experts": experts, "experts_per_token": min(experts, per_token)}


def _embedding(kind: str, keys: Keys, hidden: int) -> int:
    """Return the width of OPT's embeddings where it is not the blocks' own, else 0."""
    width = keys.number("word_embed_proj_dim", default=hidden) if kind == "opt" else hidden
    return width if width != hidden else 0


def _biases(family: Architecture, keys: Keys) -> str:
    """Return the letters of the projections that have a bias: the family's, or as config says."""
    letters = set(family.biases)
    for key, projections in family.bias_keys:
        if key in keys.config:
            letters -= set(projections)
            letters |= set(projections) if keys.flag(key, False) else set()
    return "".join(sorted(letters))


def _qk_norm(family: Architecture, keys: Keys) -> QkNorm:
    if family.qk_norm_key is None:
        return family.qk_norm
    key, form, default = family.qk_norm_key
    return form if keys.flag(key, default) else ""


def _norm_weights(kind: str, family: Architecture, keys: Keys) -> int:
    """Return how many vectors the norms of a block have; a parallel block may have one norm."""
    if kind == "stablelm" and keys.flag("use_parallel_residual", False):
        return 2
    if kind != "falcon":
        return family.norm_weights
    if not keys.flag("parallel_attn", True):
        return 4
    default = 2 if keys.flag("new_decoder_architecture", False) else 1
    return 4 if keys.number("num_ln_in_parallel_attn", default=default, most=2) == 2 else 2
