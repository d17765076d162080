"""What one training step computes, moves and launches: counts, before any card comes into it.

Symbols: N tokens of a micro-batch, L blocks, H hidden, I width of the MLP, V vocabulary, Q and K
widths of the query and key heads, S length of a row. The counts follow the modeling files of
transformers 5.23, peft 0.21 (`lora/layer.py`) and trl 1.16 (`kernels/chunked_logprob.py`). How
fast a card does such work is not told here but in `speed.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ftspec.compiler.facts.model import Shape

# Bytes that pass through memory in one block's forward pass, a token, in two-byte activations:
# two norms computed in float32 (34 H each, six kernels), two residual sums (6 H each), rotary
# embedding (20 for each width of queries and keys), activation and product (4 I, and 6 I gated).
NORMS, RESIDUALS, ROTARY, ACTIVATION, GATE = 68, 12, 20, 4, 6
# An adapter's input is cast, dropped out of and cast back (float32: 21 bytes a width; in the
# base's own dtype 5); its output is scaled and added to the base's (10).
ADAPTER_INPUT, ADAPTER_INPUT_SHORT, ADAPTER_OUTPUT = 21, 5, 10
SCORES = 14  # bytes of one attention score in eager attention: scaled, masked, softmax, cast
LOGIT, FULL_LOGIT = 16, 46  # bytes of one logit: a tile that is made twice; kept in float32
BACKWARD = 2.0  # a backward pass moves about twice a forward pass's bytes
ATTENTION_BACKWARD = 2.5  # five products instead of two (FlashAttention 2, section 3.1)
DEQUANTIZED = 2.5  # bytes a weight: half of one read, two written
CAST = 6  # bytes a weight: four read, two written
# Bytes a trained parameter in an optimizer step, float32: fused Adam reads four and writes three
# (28), the gradient is normed, scaled and zeroed (20).
OPTIMIZER = 48


@dataclass(frozen=True, slots=True)
class Job:
    """One rank's training step.

    length: tokens of a row as it is padded; each micro-batch has `batch` rows. trained: trained
    parameters. autocast: weights are stored in float32 and computed with in two bytes.
    short_adapters: LoRA's weights have the base's dtype. masked: rows differ in length, so
    attention has a mask and cannot skip what lies above the diagonal.
    """

    shape: Shape
    method: str
    batch: int
    length: float
    accumulation: int = 1
    rank: int = 0
    targets: tuple[str, ...] = ()
    quantized: bool = False
    checkpointing: bool | str = False
    attention: str = "sdpa"
    virtual_tokens: int = 0
    trained: int = 0
    autocast: bool = False
    short_adapters: bool = False
    masked: bool = True
    full_logits: bool = False

    @property
    def tokens(self) -> float:
        """Tokens of a micro-batch, padding and a soft prompt counted."""
        extra = self.virtual_tokens if self.method == "prompt" else 0
        return self.batch * (self.length + extra)

    @property
    def adapted(self) -> tuple[tuple[int, int], ...]:
        """Inputs and outputs of the linear layers of a block that have an adapter."""
        if self.method not in ("lora", "qlora"):
            return ()
        return tuple(
            (inputs, outputs)
            for name, inputs, outputs in self.shape.linears()
            if any(name == target or name.endswith(f".{target}") for target in self.targets)
        )


@dataclass(frozen=True, slots=True)
class Load:
    """Counts of a micro-batch, and of the optimizer's step after the last of them.

    products, attention: floating-point operations of matrix products and of attention's. moved:
    bytes through memory beside those. dequantized: bytes, likewise. Launch counts, in blocks or
    layers, each once a pass: blocks, adapters, quantized, cast; selective: blocks that are run
    under selective checkpointing. optimizer: bytes of a step.
    """

    products: float
    attention: float
    moved: float
    dequantized: float
    blocks: int
    adapters: int
    quantized: int
    cast: int
    selective: int
    optimizer: float


@lru_cache(maxsize=512)
def load(job: Job, *, backward: bool = True) -> Load:
    """Count a micro-batch's work: forward and backward, or (`backward=False`) forward alone."""
    shape, tokens = job.shape, job.tokens
    linears = list(shape.linears())
    weights = shape.layers * sum(inputs * outputs for _, inputs, outputs in linears)
    again = 1 if backward and job.checkpointing else 0
    passes = 1 + again + (1 if backward else 0)
    full = job.method == "full"
    cast = job.autocast and not job.quantized
    forward = 2 * tokens * weights
    adapters = shape.layers * sum(i + o for i, o in job.adapted) * job.rank
    products = forward * (1 + again + ((2 if full else 1) if backward else 0))
    products += 2 * tokens * adapters * (1 + again + (2 if backward else 0))
    # The loss: logits, and for the gradient of its input logits again, and a product with them.
    products += 2 * tokens * shape.vocab * shape.hidden * ((4 if full else 3) if backward else 1)
    spread = 1 + again + (BACKWARD if backward else 0)
    moved = spread * (_block_bytes(job) + _adapter_bytes(job)) * tokens * shape.layers
    moved += (FULL_LOGIT if job.full_logits else LOGIT) * tokens * shape.vocab * (passes / 2)
    if cast:
        moved += CAST * weights * (1 + again) + (2 * CAST * weights if full and backward else 0)
    return Load(
        products=products,
        attention=_attention(job) * (1 + again + (ATTENTION_BACKWARD if backward else 0)),
        moved=moved,
        dequantized=DEQUANTIZED * weights * passes if job.quantized else 0.0,
        blocks=shape.layers * passes,
        adapters=shape.layers * passes * len(job.adapted),
        quantized=shape.layers * passes * len(linears) if job.quantized else 0,
        cast=shape.layers * passes * len(linears) if cast else 0,
        selective=shape.layers * passes if again and job.checkpointing == "selective" else 0,
        optimizer=float(OPTIMIZER * job.trained),
    )


def _block_bytes(job: Job) -> float:
    """Bytes a token that one block's forward pass moves beside matrix products."""
    shape = job.shape
    gated = shape.family is None or shape.family.gated
    query, key = shape.query_width, shape.kv_width
    each = (NORMS + RESIDUALS) * shape.hidden + ROTARY * (query + key)
    each += (ACTIVATION + (GATE if gated else 0)) * shape.ffn
    if job.masked:
        each += 4 * (query - key)  # key heads are repeated for a kernel that takes a mask
    if job.attention == "eager":
        each += SCORES * shape.heads * int(job.length)
    return float(each)


def _adapter_bytes(job: Job) -> float:
    """Bytes a token that the adapters of one block's forward pass move."""
    each = ADAPTER_INPUT_SHORT if job.short_adapters else ADAPTER_INPUT
    return float(sum(each * inputs + ADAPTER_OUTPUT * out for inputs, out in job.adapted))


def _attention(job: Job) -> float:
    """Operations of attention's two products in one forward pass of all blocks."""
    shape = job.shape
    whole = 4.0 * job.tokens * job.length * shape.query_width * shape.layers
    skips = not job.masked and job.attention != "eager"
    return whole / 2 if skips else whole
