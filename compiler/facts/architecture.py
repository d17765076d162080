"""What a family of decoders is made of: its linear layers, and what config.json may leave out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

# The letters of the presets: q, k, v, o of attention; g(ate), u(p), d(own) of the MLP.
# A fused layer stands for several letters.
PRESETS = {"attention-min": "qv", "attention": "qkvo", "all-linear": "qkvogud"}

# How queries and keys are normed: each head by the same weights (and biases), or all widths.
QkNorm = Literal["", "head", "head-bias", "width"]


@dataclass(frozen=True, slots=True)
class Mixture:
    """The keys of config.json that describe experts, and how a family counts their parameters.

    `count`, `per_token`, `width`: keys of the number of experts, of those a token passes through
    and of an expert's width; the first one there counts. `shared_width`: key of the width of the
    expert that every token passes through; `shared_count`: key of how many of an expert's width
    there are; `shared_gate`: its output is gated by one vector. `biased`: experts and router have
    biases. `dense`: blocks with a plain MLP instead: none, the first ones
    (`first_k_dense_replace`), or by `decoder_sparse_step` and `mlp_only_layers`.
    """

    count: tuple[str, ...] = ("num_local_experts",)
    per_token: tuple[str, ...] = ("num_experts_per_tok",)
    width: tuple[str, ...] = ("intermediate_size",)
    shared_width: str = ""
    shared_count: str = ""
    shared_gate: bool = False
    biased: bool = False
    dense: Literal["", "first", "every"] = ""


@dataclass(frozen=True, slots=True)
class Architecture:
    """The linear layers of a decoder block: module name -> the projections it computes.

    `gated`: the MLP has a gate beside its up projection. `learned_positions`: position
    embeddings are parameters, so many rows more than positions. `norm_weights`, `final_norm`:
    vectors of the hidden width in a block's norms and in the last one. `qk_norm`: queries and
    keys are always normed; `qk_norm_key`: they are where this key of config.json says so, with
    what is taken where it says nothing. `biases`: the projections that have a bias where
    config.json does not say otherwise; `bias_keys`: the keys that say so, and for which.
    `mixture`: experts in place of the MLP, which are parameters and no linear layers.

    What transformers takes where a config.json does not say: `tied`, `head_dim` (None: hidden
    over heads), `kv_heads` (None: as many as heads), `positions`. `split`: `head_dim` is not
    read, heads share the hidden width. `divides`: heads must divide it in any case.
    `four_hidden`: the MLP is four times as wide as the block where no width is given.

    `sdpa`, `flash`, `flex`: the attention kernels beside eager that the model may be loaded with.
    `packs`: position ids that begin anew keep the rows of one sequence apart.
    """

    modules: Mapping[str, str]
    gated: bool = True
    learned_positions: int | None = None
    norm_weights: int = 2
    final_norm: int = 1
    qk_norm: QkNorm = ""
    qk_norm_key: tuple[str, QkNorm, bool] | None = None
    biases: str = ""
    bias_keys: tuple[tuple[str, str], ...] = ()
    head_bias: bool = False
    head_bias_key: str = ""
    conv1d: bool = False
    tied: bool = False
    head_dim: int | None = None
    kv_heads: int | None = None
    positions: int = 2048
    split: bool = False
    divides: bool = False
    four_hidden: bool = False
    sdpa: bool = True
    flash: bool = True
    flex: bool = True
    packs: bool = True
    mixture: Mixture | None = None

    def targets(self, preset: str) -> tuple[str, ...]:
        """Return the module names that a preset stands for."""
        letters = set(PRESETS[preset])
        return tuple(name for name, parts in self.modules.items() if set(parts) & letters)


def modules(**parts: str) -> Mapping[str, str]:
    """Name the layers of a block and the letters they stand for; two underscores are a dot."""
    return MappingProxyType({name.replace("__", "."): part for name, part in parts.items()})
