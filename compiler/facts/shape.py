"""The widths of a decoder, and what follows from them: its layers and counts of parameters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ftspec.compiler.facts.architecture import Architecture, QkNorm
from ftspec.compiler.facts.architectures import ARCHITECTURES
from ftspec.compiler.facts.mixtures import LATENT_QUERIES


@dataclass(frozen=True, slots=True)
class Latent:
    """Ranks and widths of multi-head latent attention (DeepSeek-V2, section 2.1).

    Keys and values go through a vector of `kv_rank`, queries through one of `query_rank` (0:
    they do not). A head's key has `nope` widths without position and `rope` with; its value has
    `value`.
    """

    query_rank: int
    kv_rank: int
    nope: int
    rope: int
    value: int


@dataclass(frozen=True, slots=True)
class Shape:
    """The widths of a decoder: everything that its memory depends on.

    hidden, ffn, vocab: widths; heads, kv_heads, head_dim: attention; layers: blocks;
    positions: the longest sequence; biases: the projections that have one, by their letters in
    `architecture`; norm_weights: vectors in a block's norms.

    experts: how many a block routes between (0: a plain MLP), experts_per_token: how many of
    them a token passes through; expert_ffn: the width of one; shared_ffn: the width that every
    token passes through beside them; dense_layers: how many blocks have a plain MLP instead.

    embedding: width of the embeddings where it is not the hidden one, else 0; qk_norm: how
    queries and keys are normed; extra_weights: parameters of a block that are neither linear
    layers nor norms; last_norm: whether a norm follows the last block; head_bias: whether the
    output head has biases; latent: multi-head latent attention, whose widths rule `head_dim`.
    """

    architecture: str
    layers: int
    hidden: int
    ffn: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    tied: bool
    positions: int
    experts: int = 0
    biases: str = ""
    norm_weights: int = 2
    experts_per_token: int = 0
    expert_ffn: int = 0
    shared_ffn: int = 0
    dense_layers: int = 0
    embedding: int = 0
    qk_norm: QkNorm = ""
    extra_weights: int = 0
    last_norm: bool = True
    head_bias: bool = False
    latent: Latent | None = None

    @property
    def family(self) -> Architecture | None:
        """What transformers calls this architecture's layers; None where it is not known here."""
        if self.latent is not None and self.latent.query_rank:
            return LATENT_QUERIES.get(self.architecture)
        return ARCHITECTURES.get(self.architecture)

    @property
    def query_width(self) -> int:
        """Width of all query heads together."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Width of all key heads together; the values' is the same, but for latent attention."""
        return self.kv_heads * self.head_dim

    def linears(self) -> Iterator[tuple[str, int, int]]:
        """Yield (module, inputs, outputs) for each linear layer that all blocks have.

        Experts are none: transformers keeps them as three-dimensional parameters.
        """
        family = self.family
        if family is None:
            return
        if self.latent is not None:
            yield from self._latent_linears(self.latent)
            return
        outputs = {"q": self.query_width, "k": self.kv_width, "v": self.kv_width}
        outputs |= {"o": self.hidden, "g": self.ffn, "u": self.ffn, "d": self.hidden}
        inputs = {"o": self.query_width, "d": self.ffn}
        for name, parts in family.modules.items():
            yield name, inputs.get(parts[0], self.hidden), sum(outputs[part] for part in parts)

    def _latent_linears(self, latent: Latent) -> Iterator[tuple[str, int, int]]:
        queries = self.heads * (latent.nope + latent.rope)
        if latent.query_rank:
            yield "q_a_proj", self.hidden, latent.query_rank
            yield "q_b_proj", latent.query_rank, queries
        else:
            yield "q_proj", self.hidden, queries
        yield "kv_a_proj_with_mqa", self.hidden, latent.kv_rank + latent.rope
        yield "kv_b_proj", latent.kv_rank, self.heads * (latent.nope + latent.value)
        yield "o_proj", self.heads * latent.value, self.hidden

    @property
    def block_parameters(self) -> int:
        """Parameters of one block; with experts, of a block that has them."""
        if self.family is None:
            return 0
        total = self.norm_weights * self.hidden + self._qk_norm_weights + self.extra_weights
        for name, inputs, outputs in self.linears():
            total += (inputs + self._biased(name)) * outputs
        return total + (self._mixture_parameters if self.experts else 0)

    @property
    def parameters(self) -> int:
        """All parameters by formula, a tied weight once; 0 where the family is not known."""
        family = self.family
        if family is None:
            return 0
        width = self.embedding or self.hidden
        total = self.layers * self.block_parameters
        if self.experts:
            total += self.dense_layers * (self._plain_parameters - self._mixture_parameters)
        total += family.final_norm * self.hidden if self.last_norm else 0
        if family.learned_positions is not None:
            total += (self.positions + family.learned_positions) * self.hidden
        total += (1 if self.tied else 2) * self.vocab * width
        if self.embedding:  # projections into the blocks and out of them
            total += 2 * self.embedding * self.hidden
        return total + (self.vocab if self.head_bias else 0)

    @property
    def active_parameters(self) -> int:
        """Parameters that one token passes through: all but the experts not chosen for it."""
        idle = max(0, self.experts - self.experts_per_token)
        return self.parameters - (self.layers - self.dense_layers) * idle * self._expert_parameters

    def _biased(self, module: str) -> bool:
        if self.latent is not None:  # of the two steps, the first one's biases alone are asked for
            return bool(self.biases) and module not in ("q_proj", "q_b_proj", "kv_b_proj")
        return self.family is not None and bool(set(self.family.modules[module]) & set(self.biases))

    @property
    def _qk_norm_weights(self) -> int:
        if self.latent is not None:  # the norms of the latent vectors
            return self.latent.query_rank + self.latent.kv_rank
        weights = {
            "": 0,
            "head": 2 * self.head_dim,
            "head-bias": 4 * self.head_dim,
            "width": self.query_width + self.kv_width,
        }
        return weights[self.qk_norm]

    @property
    def _expert_parameters(self) -> int:
        family = self.family
        total = 3 * self.hidden * self.expert_ffn
        if family is not None and family.mixture is not None and family.mixture.biased:
            total += 2 * self.expert_ffn + self.hidden
        return total

    @property
    def _mixture_parameters(self) -> int:
        """The experts of a block, the router before them and the shared expert beside them."""
        mixture = self.family.mixture if self.family is not None else None
        if mixture is None:
            return 0
        total = self.experts * (self._expert_parameters + self.hidden + mixture.biased)
        total += self._mlp_parameters(self.shared_ffn)
        return total + (self.hidden if mixture.shared_gate else 0)

    @property
    def _plain_parameters(self) -> int:
        return self._mlp_parameters(self.ffn)

    def _mlp_parameters(self, width: int) -> int:
        biases = 2 * width + self.hidden if width and "g" in self.biases else 0
        return 3 * self.hidden * width + biases
