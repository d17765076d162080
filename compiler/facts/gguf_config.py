"""Translate a GGUF header into the keys of a config.json.

Sources: the GGUF specification, "Standardized key-value pairs" and "Standardized tensor names";
for what transformers makes of them, `integrations/ggml.py` and `modeling_gguf_pytorch_utils.py`
of transformers 5.23.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ftspec.compiler.facts.architecture import Architecture, Mixture
from ftspec.compiler.facts.architectures import ARCHITECTURES
from ftspec.compiler.facts.config import ModelUnreadableError
from ftspec.compiler.facts.gguf import Array, Header

# llama.cpp's names of architectures where transformers has others.
KINDS: Mapping[str, str] = MappingProxyType(
    {
        "qwen2moe": "qwen2_moe",
        "qwen3moe": "qwen3_moe",
        "gemma3": "gemma3_text",
        "phi2": "phi",
        "gptneox": "gpt_neox",
        "starcoder": "gpt_bigcode",
        "command-r": "cohere",
        "gpt-oss": "gpt_oss",
        "ernie4_5": "ernie4_5",
    }
)
# What a GGUF file calls the keys that shape memory, after its architecture's name.
_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "num_hidden_layers": "block_count",
        "hidden_size": "embedding_length",
        "num_attention_heads": "attention.head_count",
        "num_key_value_heads": "attention.head_count_kv",
        "num_kv_heads": "attention.head_count_kv",
        "head_dim": "attention.key_length",
        "max_position_embeddings": "context_length",
        "intermediate_size": "feed_forward_length",
        "n_inner": "feed_forward_length",
        "ffn_hidden_size": "feed_forward_length",
        "moe_intermediate_size": "expert_feed_forward_length",
        "num_experts": "expert_count",
        "num_local_experts": "expert_count",
        "n_routed_experts": "expert_count",
        "num_experts_per_tok": "expert_used_count",
    }
)
# Which tensors show that a projection has a bias, by the letters of the projections.
_TENSORS = {
    "q": ("attn_q", "attn_qkv"),
    "k": ("attn_k", "attn_qkv"),
    "v": ("attn_v", "attn_qkv"),
    "o": ("attn_output",),
    "g": ("ffn_gate",),
    "u": ("ffn_up",),
    "d": ("ffn_down",),
}
# Their files may hold a copy of the tied head, and transformers ties it all the same.
ALWAYS_TIED = ("falcon", "bloom")


def config_of(header: Header, shown: str) -> dict[str, Any]:
    """Return what a config.json of the model in a GGUF file would say; `shown` names the file.

    Raises ModelUnreadableError for one part of a split file.
    """
    parts = header.values.get("split.count", 1)
    if isinstance(parts, int) and parts > 1:
        raise ModelUnreadableError(
            f"`{shown}` is one of {parts} parts: join them with llama-gguf-split --merge"
        )
    named = header.values.get("general.architecture")
    if not isinstance(named, str) or not named:
        raise ModelUnreadableError(f"`{shown}` has no `general.architecture`")
    keys = _Keys(header, named)
    experts = keys.number("expert_count") or 0
    kind = KINDS.get(named, named.replace("-", "_"))
    kind = "mixtral" if kind == "llama" and experts else kind
    family = ARCHITECTURES.get(kind)
    config = {
        "model_type": kind,
        "num_hidden_layers": keys.number("block_count"),
        "hidden_size": keys.number("embedding_length"),
        "num_attention_heads": keys.number("attention.head_count"),
        "vocab_size": _vocabulary(header, keys),
        "max_position_embeddings": keys.number("context_length"),
        "sliding_window": keys.number("attention.sliding_window"),
        _ffn_key(kind): keys.number("feed_forward_length"),
        **_kv_heads(kind, keys, header),
        **_head_dim(kind, family, keys),
        **(_mixture(family.mixture, keys) if family and family.mixture else {}),
        **(_flags(family, header) if family else {}),
    }
    config["tie_word_embeddings"] = kind in ALWAYS_TIED or "output.weight" not in header.tensors
    return {key: value for key, value in config.items() if value is not None}


def names_of(header: Header) -> dict[str, str]:
    """Return what a GGUF file calls the keys of a config.json."""
    prefix = header.values.get("general.architecture")
    return {key: f"{prefix}.{name}" for key, name in _NAMES.items()} | {
        "vocab_size": "tokenizer.ggml.tokens"
    }


def parameters_of(header: Header, config: Mapping[str, Any]) -> int:
    """Count the parameters of a file: all tensors but rotary tables and a copy of a tied head."""
    tied = config.get("tie_word_embeddings")
    return sum(
        tensor.elements
        for name, tensor in header.tensors.items()
        if not name.startswith("rope_") and not (tied and name == "output.weight")
    )


class _Keys:
    """The keys of one architecture, without their prefix."""

    def __init__(self, header: Header, named: str) -> None:
        self.values, self.prefix = header.values, named

    def number(self, name: str) -> Any:
        """Return what should be a whole number; of a list of equal ones, a block each, their value.

        What is none is returned as it stands: `shape_of` refuses it by name.
        """
        value = self.values.get(f"{self.prefix}.{name}")
        if isinstance(value, Array):
            return value.values[0] if len(set(value.values)) == 1 else None
        return value


def _vocabulary(header: Header, keys: _Keys) -> Any:
    tokens = header.values.get("tokenizer.ggml.tokens")
    return keys.number("vocab_size") or (tokens.count if isinstance(tokens, Array) else None)


def _ffn_key(kind: str) -> str:
    return {"gpt2": "n_inner", "gpt_bigcode": "n_inner", "falcon": "ffn_hidden_size"}.get(
        kind, "intermediate_size"
    )


def _kv_heads(kind: str, keys: _Keys, header: Header) -> dict[str, Any]:
    heads = keys.number("attention.head_count")
    stated = keys.number("attention.head_count_kv") or heads
    if kind == "falcon":
        new = "blk.0.attn_norm_2.weight" in header.tensors
        return {"num_kv_heads": stated, "new_decoder_architecture": new, "multi_query": stated == 1}
    if kind == "gpt_bigcode":
        return {"multi_query": stated == 1}
    return {"num_key_value_heads": stated}


def _head_dim(kind: str, family: Architecture | None, keys: _Keys) -> dict[str, Any]:
    if family is not None and family.split:
        return {}
    stated = keys.number("attention.key_length")
    if stated is None and kind in ("llama", "mixtral"):
        stated = keys.number("rope.dimension_count")
    return {"head_dim": stated}


def _mixture(mixture: Mixture, keys: _Keys) -> dict[str, Any]:
    width = keys.number("expert_feed_forward_length") or keys.number("feed_forward_length")
    found = {
        mixture.count[0]: keys.number("expert_count"),
        mixture.per_token[0]: keys.number("expert_used_count"),
        mixture.width[0]: width,
    }
    if mixture.shared_width:
        found[mixture.shared_width] = keys.number("expert_shared_feed_forward_length")
    if mixture.shared_count:
        found[mixture.shared_count] = keys.number("expert_shared_count")
    if mixture.dense == "first":
        found["first_k_dense_replace"] = keys.number("leading_dense_block_count")
    return found


def _flags(family: Architecture, header: Header) -> dict[str, bool]:
    """Say which switches of a family are on, by the tensors of the first block."""

    def there(*names: str) -> bool:
        return any(f"blk.0.{name}" in header.tensors for name in names)

    flags = {
        key: there(*(f"{name}.bias" for letter in letters for name in _TENSORS[letter]))
        for key, letters in family.bias_keys
    }
    if family.qk_norm_key is not None:
        flags[family.qk_norm_key[0]] = there("attn_q_norm.weight")
    if any(key == "use_qkv_bias" for key, _ in family.bias_keys):  # stablelm
        flags["use_parallel_residual"] = not there("ffn_norm.weight")
    return flags
