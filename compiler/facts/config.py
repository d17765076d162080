"""Read a config.json into a `Shape`; what lies, lacks a width or is absurd is refused by name."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NoReturn

from ftspec.compiler.facts.architecture import Architecture, Mixture, QkNorm
from ftspec.compiler.facts.architectures import ARCHITECTURES
from ftspec.compiler.facts.shape import Latent, Shape

# Beyond these a config.json is taken for a mistake. The largest public models have 126 blocks
# (Llama-3.1 405B), widths of 53,248, 384 experts and 10**12 parameters (Kimi K2).
MOST_LAYERS = 1_000
MOST_WIDTH = 2**20
MOST_VOCAB = 2**24
MOST_POSITIONS = 2**30
MOST_EXPERTS = 4_096
MOST_PARAMETERS = 10**13

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


def _short(value: object) -> str:
    """Return what a value looks like, of at most 64 characters."""
    shown = reprlib.repr(value)
    return shown if len(shown) <= 64 else f"{shown[:61]}..."


class ModelUnreadableError(Exception):
    """The model's config cannot be read; the message says which file and why."""


class MissingKeyError(ModelUnreadableError):
    """A config lacks a key that its family must state."""


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

    Raises MissingKeyError where a width is missing, ModelUnreadableError where one is no number,
    absurd, or contradicts another.
    """
    keys = _Keys(text_config(config), shown)
    kind = keys.kind
    family = ARCHITECTURES.get(kind, _UNKNOWN)
    hidden = keys.number("hidden_size", "n_embd", "d_model", "n_embed")
    heads = keys.number("num_attention_heads", "n_head", "n_heads", "num_heads")
    kv_heads = _kv_heads(kind, family, keys, heads)
    latent = _latent(keys) if kind in ("deepseek_v2", "deepseek_v3") else None
    mixture = _mixture(family.mixture, keys) if family.mixture else _unknown_mixture(keys)
    shape = Shape(
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
    if shape.parameters > MOST_PARAMETERS:
        keys.refuse(
            f"its widths make {shape.parameters / 1e9:,.0f} billion parameters, "
            f"more than {MOST_PARAMETERS / 1e9:,.0f}"
        )
    return shape


class _Keys:
    """The keys of one config, read with a message that names file and key."""

    def __init__(self, config: Mapping[str, Any], shown: str) -> None:
        self.config, self.shown = config, shown
        self.kind = self._kind()
        self.layers = self.number(
            "num_hidden_layers", "n_layer", "n_layers", "num_layers", most=MOST_LAYERS
        )

    def refuse(self, words: str) -> NoReturn:
        raise ModelUnreadableError(f"`{self.shown}`: {words}")

    def _kind(self) -> str:
        kind = self.config.get("model_type")
        if not isinstance(kind, str) or not kind:
            raise MissingKeyError(f"`{self.shown}` has no `model_type`")
        if not kind.isprintable() or len(kind) > 64:
            self.refuse(f"`model_type` is no name: {kind[:64]!r}")
        return kind

    def number(
        self, *names: str, default: int | None = None, least: int = 1, most: int = MOST_WIDTH
    ) -> int:
        """Return the first of these keys that is there; null counts as absent."""
        for name in names:
            value = self.config.get(name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                self.refuse(f"`{name}` is {_short(value)}, not a whole number")
            if not least <= value <= most:
                shown = _short(value) if abs(value) >= 10**40 else f"{value:,}"
                self.refuse(f"`{name}` is {shown}, not between {least:,} and {most:,}")
            return value
        if default is None:
            raise MissingKeyError(f"`{self.shown}` has no `{names[0]}`")
        return default

    def flag(self, name: str, default: bool) -> bool:
        value = self.config.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.refuse(f"`{name}` is {_short(value)}, not true or false")
        return value


def _kv_heads(kind: str, family: Architecture, keys: _Keys, heads: int) -> int:
    """Return the number of key heads; the older families have one for each head, or one."""
    if kind in ("falcon", "gpt_bigcode") and not keys.flag("new_decoder_architecture", False):
        return 1 if keys.flag("multi_query", True) else heads
    if family.split and kind not in ("falcon", "stablelm"):
        return heads
    stated = keys.number("num_key_value_heads", "num_kv_heads", default=family.kv_heads or heads)
    if heads % stated:
        keys.refuse(f"{heads} heads do not divide by {stated} key heads")
    return stated


def _head_dim(
    family: Architecture, keys: _Keys, hidden: int, heads: int, latent: Latent | None
) -> int:
    """Return a head's width; transformers refuses some that do not divide the hidden one."""
    if (family.split or family.divides) and hidden % heads:
        keys.refuse(f"a hidden size of {hidden} does not divide by {heads} heads")
    if latent is not None:
        return latent.nope + latent.rope
    if family.split:
        return hidden // heads
    if hidden < heads and family.head_dim is None and keys.config.get("head_dim") is None:
        keys.refuse(f"a hidden size of {hidden} does not divide by {heads} heads")
    return keys.number("head_dim", default=family.head_dim or hidden // heads)


def _ffn(family: Architecture, keys: _Keys, hidden: int) -> int:
    default = 4 * hidden if family.four_hidden else None
    return keys.number(
        "intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", default=default
    )


def _latent(keys: _Keys) -> Latent:
    asked = "q_lora_rank" in keys.config  # null says that queries are made in one step
    return Latent(
        query_rank=keys.number("q_lora_rank", default=0 if asked else 1536),
        kv_rank=keys.number("kv_lora_rank", default=512),
        nope=keys.number("qk_nope_head_dim", default=128),
        rope=keys.number("qk_rope_head_dim", default=64),
        value=keys.number("v_head_dim", default=128),
    )


def _mixture(mixture: Mixture, keys: _Keys) -> dict[str, Any]:
    """Return the fields of `Shape` that describe experts."""
    experts = keys.number(*mixture.count, least=0, most=MOST_EXPERTS)
    per_token = keys.number(*mixture.per_token, least=0, most=MOST_EXPERTS)
    if per_token > experts:
        keys.refuse(f"`{mixture.per_token[0]}` is {per_token}, but there are {experts} experts")
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


def _dense_layers(mixture: Mixture, keys: _Keys) -> int:
    if mixture.dense == "first":
        return min(keys.layers, keys.number("first_k_dense_replace", default=0, least=0))
    if mixture.dense != "every":
        return 0
    step = keys.number("decoder_sparse_step", default=1)
    plain = keys.config.get("mlp_only_layers") or []
    if not isinstance(plain, list) or not all(type(number) is int for number in plain):
        keys.refuse(f"`mlp_only_layers` is {_short(plain)}, not a list of numbers")
    numbers = set(plain)
    return sum(number in numbers or (number + 1) % step != 0 for number in range(keys.layers))


def _unknown_mixture(keys: _Keys) -> dict[str, Any]:
    count = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
    experts = keys.number(*count, default=0, least=0, most=MOST_EXPERTS)
    chosen = ("num_experts_per_tok", "moe_k")
    per_token = keys.number(*chosen, default=0, least=0, most=MOST_EXPERTS)
    return {"experts": experts, "experts_per_token": min(experts, per_token)}


def _embedding(kind: str, keys: _Keys, hidden: int) -> int:
    """Return the width of OPT's embeddings where it is not the blocks' own, else 0."""
    width = keys.number("word_embed_proj_dim", default=hidden) if kind == "opt" else hidden
    return width if width != hidden else 0


def _biases(family: Architecture, keys: _Keys) -> str:
    """Return the letters of the projections that have a bias: the family's, or as config says."""
    letters = set(family.biases)
    for key, projections in family.bias_keys:
        if key in keys.config:
            letters -= set(projections)
            letters |= set(projections) if keys.flag(key, False) else set()
    return "".join(sorted(letters))


def _qk_norm(family: Architecture, keys: _Keys) -> QkNorm:
    if family.qk_norm_key is None:
        return family.qk_norm
    key, form, default = family.qk_norm_key
    return form if keys.flag(key, default) else ""


def _norm_weights(kind: str, family: Architecture, keys: _Keys) -> int:
    """Return how many vectors the norms of a block have; a parallel block may have one norm."""
    if kind == "stablelm" and keys.flag("use_parallel_residual", False):
        return 2
    if kind != "falcon":
        return family.norm_weights
    if not keys.flag("parallel_attn", True):
        return 4
    default = 2 if keys.flag("new_decoder_architecture", False) else 1
    return 4 if keys.number("num_ln_in_parallel_attn", default=default, most=2) == 2 else 2
