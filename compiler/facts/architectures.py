"""What each architecture calls its linear layers, and how they share its widths.

Source: the modeling files of transformers 5.23, `models/<architecture>/modeling_*.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

# The letters of the presets: q, k, v, o of attention; g(ate), u(p), d(own) of the MLP.
# A fused layer stands for several letters.


@dataclass(frozen=True, slots=True)
class Architecture:
    """The linear layers of a decoder block: module name -> the projections it computes.

    `gated`: the MLP has a gate beside its up projection. `learned_positions`: position
    embeddings are parameters, so many rows more than positions. `norm_weights`, `final_norm`:
    vectors of the hidden width in a block's norms and in the last one. `qk_norm`: queries and
    keys are normed, each head by the same weights or the whole width. `biases`: the projections
    that have a bias where config.json does not say otherwise.
    """

    modules: Mapping[str, str]
    gated: bool = True
    learned_positions: int | None = None
    norm_weights: int = 2
    final_norm: int = 1
    qk_norm: Literal["", "head", "width"] = ""
    biases: str = ""
    head_bias: bool = False
    conv1d: bool = False

    def targets(self, preset: str) -> tuple[str, ...]:
        """Return the module names that a preset stands for."""
        letters = {"attention-min": "qv", "attention": "qkvo", "all-linear": "qkvogud"}[preset]
        return tuple(name for name, parts in self.modules.items() if set(parts) & set(letters))


_LLAMA = MappingProxyType(
    {
        "q_proj": "q",
        "k_proj": "k",
        "v_proj": "v",
        "o_proj": "o",
        "gate_proj": "g",
        "up_proj": "u",
        "down_proj": "d",
    }
)
_ALL = "qkvogud"
_LLAMA_ATTENTION = MappingProxyType({name: part for name, part in _LLAMA.items() if part in "qkvo"})
_NEOX = MappingProxyType(
    {"query_key_value": "qkv", "dense": "o", "dense_h_to_4h": "u", "dense_4h_to_h": "d"}
)

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "llama": Architecture(_LLAMA),
        "mistral": Architecture(_LLAMA),
        "qwen2": Architecture(_LLAMA, biases="qkv"),
        "qwen3": Architecture(_LLAMA, qk_norm="head"),
        "gemma": Architecture(_LLAMA),
        "gemma2": Architecture(_LLAMA, norm_weights=4),
        "gemma3_text": Architecture(_LLAMA, norm_weights=4, qk_norm="head"),
        "olmo2": Architecture(_LLAMA, qk_norm="width"),
        "granite": Architecture(_LLAMA),
        "smollm3": Architecture(_LLAMA),
        "stablelm": Architecture(_LLAMA, norm_weights=4, final_norm=2),
        # Experts are three-dimensional parameters, not linear layers: attention alone is adapted.
        "mixtral": Architecture(_LLAMA_ATTENTION),
        "qwen2_moe": Architecture(_LLAMA_ATTENTION),
        "qwen3_moe": Architecture(_LLAMA_ATTENTION, qk_norm="head"),
        "phi3": Architecture(
            MappingProxyType(
                {"qkv_proj": "qkv", "o_proj": "o", "gate_up_proj": "gu", "down_proj": "d"}
            )
        ),
        "phi": Architecture(
            MappingProxyType(
                {"q_proj": "q", "k_proj": "k", "v_proj": "v", "dense": "o", "fc1": "u", "fc2": "d"}
            ),
            gated=False,
            final_norm=2,
            biases=_ALL,
            head_bias=True,
        ),
        "gpt2": Architecture(
            MappingProxyType({"c_attn": "qkv", "attn.c_proj": "o", "c_fc": "u", "mlp.c_proj": "d"}),
            gated=False,
            learned_positions=0,
            norm_weights=4,
            final_norm=2,
            biases=_ALL,
            conv1d=True,
        ),
        "opt": Architecture(
            MappingProxyType(
                {
                    "q_proj": "q",
                    "k_proj": "k",
                    "v_proj": "v",
                    "out_proj": "o",
                    "fc1": "u",
                    "fc2": "d",
                }
            ),
            gated=False,
            learned_positions=2,
            norm_weights=4,
            final_norm=2,
            biases=_ALL,
        ),
        "gpt_neox": Architecture(_NEOX, gated=False, norm_weights=4, final_norm=2, biases=_ALL),
        "falcon": Architecture(_NEOX, gated=False, final_norm=2),
        "bloom": Architecture(
            MappingProxyType(
                {
                    "query_key_value": "qkv",
                    "dense": "o",
                    "dense_h_to_4h": "u",
                    "dense_4h_to_h": "d",
                }
            ),
            gated=False,
            norm_weights=4,
            final_norm=4,  # the embeddings are normed too
            biases=_ALL,
        ),
    }
)
