"""What each architecture calls its linear layers, and how they share its widths.

Source: the modeling files of transformers 5.23, `models/<architecture>/modeling_*.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

# The letters of the presets: q, k, v, o of attention; g(ate), u(p), d(own) of the MLP.
# A fused layer stands for several letters.


@dataclass(frozen=True, slots=True)
class Architecture:
    """The linear layers of a decoder block: module name -> the projections it computes.

    `gated`: the MLP has a gate beside its up projection. `learned_positions`: position
    embeddings are parameters. `norm_weights`: vectors of the hidden width in a block's norms.
    """

    modules: Mapping[str, str]
    gated: bool = True
    learned_positions: bool = False
    norm_weights: int = 2
    qk_norm: bool = False
    qkv_bias: bool = False
    bias: bool = False
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
_NEOX = MappingProxyType(
    {"query_key_value": "qkv", "dense": "o", "dense_h_to_4h": "u", "dense_4h_to_h": "d"}
)

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "llama": Architecture(_LLAMA),
        "mistral": Architecture(_LLAMA),
        "qwen2": Architecture(_LLAMA, qkv_bias=True),
        "qwen3": Architecture(_LLAMA, qk_norm=True),
        "gemma": Architecture(_LLAMA),
        "gemma2": Architecture(_LLAMA, norm_weights=4),
        "gemma3_text": Architecture(_LLAMA, norm_weights=4, qk_norm=True),
        "olmo2": Architecture(_LLAMA, qk_norm=True),
        "granite": Architecture(_LLAMA),
        "smollm3": Architecture(_LLAMA),
        "stablelm": Architecture(_LLAMA, norm_weights=4),
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
            bias=True,
        ),
        "gpt2": Architecture(
            MappingProxyType({"c_attn": "qkv", "attn.c_proj": "o", "c_fc": "u", "mlp.c_proj": "d"}),
            gated=False,
            learned_positions=True,
            norm_weights=4,
            bias=True,
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
            learned_positions=True,
            norm_weights=4,
            bias=True,
        ),
        "gpt_neox": Architecture(_NEOX, gated=False, norm_weights=4, bias=True),
        "falcon": Architecture(_NEOX, gated=False),
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
            bias=True,
        ),
    }
)
