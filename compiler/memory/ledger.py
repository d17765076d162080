"""A closed-form ledger of GPU memory: parts with formulas, phases, a peak and its interval.

Symbols: P parameters, L layers, H hidden, I ffn, V vocabulary, Q and K widths of the query and
key heads, n heads, N tokens of a micro-batch, S its length, B its rows, r rank.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ftspec.compiler.facts.gpus import Gpu
from ftspec.compiler.memory.work import DTYPE_BYTES, Work

GIB = 2**30
MIB = 2**20

# Bytes of optimizer state a trained parameter: share of its own size, and fixed bytes.
# Sources: torch/optim/adam.py (two moments); bitsandbytes 0.50 optim/optimizer.py (two uint8
# moments and a float32 maximum a block of 256); transformers optimization.py (Adafactor keeps
# rows and columns only).
OPTIMIZER_BYTES: dict[str, tuple[float, float]] = {
    "adamw_torch_fused": (2.0, 0.0),
    "adamw_torch": (3.0, 0.0),  # its foreach path holds one more copy while it steps
    "adamw_8bit": (0.0, 2.03125),
    "paged_adamw_8bit": (0.0, 2.03125),
    "paged_adamw_32bit": (0.0, 8.0),
    "adafactor": (0.0, 0.05),
    "sgd": (0.0, 0.0),
}

# CUDA context and loaded kernels, in MiB by compute capability, and how sure that is. 9.0: on an
# H200 (driver 580, CUDA 13, torch 2.11), the same to 2 MiB in 68 runs of bench/vram's `tune` cases;
# cuDNN's attention and LLM.int8() load more. 7.5: 79 public runs on a T4 (torch 2.10 to 2.14).
# Other cards are taken to lie between these.
CONTEXT_MIB = {(9, 0): (742, 8), (7, 5): (141, 16)}
UNMEASURED_MIB = (600, 250)
ASSUMED = "the CUDA context of"
CUDNN_MIB, INT8_MIB = 16, 64

# A margin, not a fit: it holds the fourteen peaks measured so far (bench/methods/RESULTS.md says
# why they are not blind).
LOW_SHARE, HIGH_SHARE = 0.90, 1.15

AFTERWARDS = ("generate",)

CHUNK_TOKENS, CHUNK_VOCAB = 4096, 32768  # trl 1.16 kernels/chunked_logprob.py


@dataclass(frozen=True, slots=True)
class Part:
    """One row of the ledger, in bytes, with the formula that made it and its source."""

    name: str
    bytes: int
    formula: str
    source: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """The predicted memory of a set-up: parts at the training peak, and each phase's peak.

    phases: allocated bytes. reserved_bytes: what the allocator takes from the card at its peak; 0
    where that is not told apart. low, high: the interval of what the driver shows, with the
    context; 0: a margin around the closed form, and `spread`, that of the context. moment:
    forward, backward, optimizer, evaluate.
    """

    parts: tuple[Part, ...]
    phases: dict[str, int]
    context_bytes: int
    reserved_bytes: int = 0
    low: int = 0
    high: int = 0
    spread: int = 0
    method: str = "closed-form"
    moment: str = ""

    @property
    def peak_phase(self) -> str:
        """The phase of the run with the highest peak; chatting afterwards is not of the run."""
        of_run = [name for name in self.phases if name not in AFTERWARDS]
        return max(of_run, key=lambda name: self.phases[name])

    @property
    def allocated_peak_bytes(self) -> int:
        """The allocator's peak over all phases."""
        return self.phases[self.peak_phase]

    @property
    def peak_bytes(self) -> int:
        """What the driver shows in use at the peak."""
        return (self.reserved_bytes or self.allocated_peak_bytes) + self.context_bytes

    @property
    def low_bytes(self) -> int:
        """Lower end of the interval."""
        if self.low:
            return self.low
        return round(self.allocated_peak_bytes * LOW_SHARE) + self.context_bytes - self.spread

    @property
    def high_bytes(self) -> int:
        """Upper end of the interval."""
        if self.high:
            return self.high
        return round(self.allocated_peak_bytes * HIGH_SHARE) + self.context_bytes + self.spread


def predict(work: Work, gpu: Gpu | None) -> Ledger:
    """Predict the memory of `work`; gpu None means the CPU, where there is no context."""
    weights = _weights(work)
    adapters = _adapters(work)
    gradients = _gradients(work)
    optimizer = _optimizer(work)
    saved = _saved_activations(work)
    transient = _transient(work)
    loss = _loss(work)
    workspace = _workspace(gpu)
    static = weights.bytes + adapters.bytes + optimizer.bytes + workspace.bytes
    activations = Part(
        "activations",
        saved.bytes + transient.bytes,
        f"{saved.formula} + {transient.formula}",
        "saved tensors, layer by layer: docs/memory.md",
    )
    # With accumulation, the gradients of earlier micro-batches lie beside the next one's work.
    # Between ranks they are gathered in buckets, another copy (torch DistributedDataParallel).
    held = gradients.bytes if work.accumulation > 1 else 0
    buckets = gradients.bytes if work.ranks > 1 else 0
    static += buckets
    training = max(
        static + held + saved.bytes + max(transient.bytes, loss.bytes),  # backward
        static + held + _all_copies(work) + loss.bytes,  # the end of forward, under autocast
        static + gradients.bytes + loss.bytes // 2,  # the end of backward
    )
    phases = {"load": weights.bytes + workspace.bytes, "train": training}
    if work.eval_batch:
        phases["evaluate"] = static + _evaluation(work)
    parts = (weights, adapters, gradients, optimizer, activations, loss, workspace)
    there = tuple(part for part in parts if part.bytes)
    return Ledger(there, phases, context_bytes(gpu, work), spread=context_spread(gpu))


def context_bytes(gpu: Gpu | None, work: Work | None = None) -> int:
    """Return what the CUDA context takes of a kind of card, with the kernels that `work` loads."""
    if gpu is None:
        return 0
    size, _ = CONTEXT_MIB.get(gpu.capability, UNMEASURED_MIB)
    if work is not None and gpu.capability == (9, 0):
        size += CUDNN_MIB * (work.attention == "sdpa") + INT8_MIB * (work.quantization == "int8")
    return size * MIB


def context_words(gpu: Gpu) -> str:
    """Say that a kind of card's context is assumed; empty where it was measured."""
    if gpu.capability in CONTEXT_MIB:
        return ""
    size, spread = UNMEASURED_MIB
    return (
        f"the CUDA context of {gpu.name} was not measured: taken as {size} MiB, {spread} either way"
    )


def context_spread(gpu: Gpu | None) -> int:
    """Return by how much the context may differ from `context_bytes`, either way."""
    if gpu is None:
        return 0
    return CONTEXT_MIB.get(gpu.capability, UNMEASURED_MIB)[1] * MIB


def _weights(work: Work) -> Part:
    shape = work.shape
    each = DTYPE_BYTES[work.dtype]
    if work.quantization == "none":
        return Part("base_weights", each * work.parameters, f"{each} P", "dtype of the base")
    linear = shape.layers * sum(inputs * outputs for _, inputs, outputs in shape.linears())
    rest = work.parameters - linear
    bytes_each = {"nf4": 0.5, "fp4": 0.5, "int8": 1.0}[work.quantization]
    if work.quantization != "int8":
        # One float32 maximum a block of 64; with double quantization an 8-bit one, and a float32
        # a block of 256 of those (bitsandbytes 0.50 functional.py, quantize_4bit).
        bytes_each += (1 / 64 + 4 / (64 * 256)) if work.double_quant else 4 / 64
    return Part(
        "base_weights",
        round(bytes_each * linear) + each * rest,
        f"{bytes_each:.4g} P of the linear layers + {each} P of the rest",
        "bitsandbytes 0.50, functional.py, quantize_4bit",
    )


def _autocast_copies(work: Work) -> int:
    """Autocast keeps a two-byte copy of each trained float32 weight of a block while it is used.

    Without checkpointing the graph holds those of all blocks until their backward; with it, a
    block's copies are made anew for its own backward.
    """
    if work.method != "full" or work.dtype != "float32" or work.autocast is None:
        return 0
    blocks = 1 if work.checkpointing else work.shape.layers
    return 2 * blocks * work.shape.block_parameters


def _dora_weights(work: Work) -> int:
    """DoRA keeps a two-byte tensor of each adapted weight's size for its norm's backward."""
    if not work.dora:
        return 0
    blocks = 1 if work.checkpointing else work.shape.layers
    sizes = (inputs * out for name, inputs, out in work.shape.linears() if work.adapts(name))
    return 2 * blocks * sum(sizes)


def _all_copies(work: Work) -> int:
    return _autocast_copies(replace(work, checkpointing=False))


def _adapters(work: Work) -> Part:
    if work.method == "full":
        return Part("adapters", 0, "", "")
    size = work.trainable * work.trainable_bytes_each
    formula = {
        "prompt": "4 virtual H",
        "prefix": "4 virtual L 2 K",
    }.get(work.method, f"{work.trainable_bytes_each} r (in + out) of each adapted layer")
    return Part("adapters", size, formula, "peft 0.21, the method's model.py")


def _gradients(work: Work) -> Part:
    each = work.trainable_bytes_each
    return Part(
        "gradients", each * work.trainable, f"{each} trained", "dtype of the trained weights"
    )


def _optimizer(work: Work) -> Part:
    share, fixed = OPTIMIZER_BYTES[work.optimizer]
    each = share * work.trainable_bytes_each + fixed
    return Part("optimizer", round(each * work.trainable), f"{each:g} trained", work.optimizer)


def _layer_bytes(work: Work) -> float:
    """Bytes that one block saves for its backward pass, a token of two-byte activations.

    Attention: q, k, v and its output (4Q + 4K) and the log-sum-exp (4 a head). Norms: the
    float32 input of each of two (8H). MLP: what the activation and the product need (6I with
    a gate, 4I without). A weight that is trained keeps its input as well, which is in
    `_trained_inputs`. Sources: the modeling files of transformers 5.23, peft 0.21 lora/layer.py.
    """
    shape = work.shape
    q, k = shape.query_width, shape.kv_width
    gated = shape.family is None or shape.family.gated
    each = 4 * q + 4 * k + 4 * shape.heads + 8 * shape.hidden
    each += (6 if gated else 4) * shape.ffn + _trained_inputs(work)
    if shape.family is not None and shape.family.qk_norm:
        each += 6 * q + 6 * k if work.method == "full" else 4 * q + 4 * k
    if work.dtype == "float32" and work.autocast is None:
        each *= 2  # the sum above is for two-byte activations
    return float(each)


def _trained_inputs(work: Work) -> int:
    """Bytes a token that one block saves because its own weights, or adapters, are trained."""
    shape = work.shape
    if work.method == "full":
        # The inputs of q, k, v (shared), of gate and up (shared), of down; the scaled norms.
        extra = 6 * shape.hidden if work.dtype == "float32" and work.autocast else 0
        return 8 * shape.hidden + 2 * shape.ffn + extra
    adapted = [(name, inputs) for name, inputs, _ in shape.linears() if work.adapts(name)]
    if work.dora:
        # peft 0.21 lora/dora.py: the base's result and the scaled one, beside LoRA's own.
        outputs = sum(out for name, _, out in shape.linears() if work.adapts(name))
        return 6 * outputs + sum(3 * inputs for _, inputs in adapted)
    if work.dropout or work.trainable_bytes_each == 4:
        # Each adapter has a copy of its input of its own: cast to its dtype, or dropped out of.
        copies = sum(2 * inputs for _, inputs in adapted)
        return copies + (sum(inputs for _, inputs in adapted) if work.dropout else 0)
    parts = {
        part for name, _ in adapted for part in (shape.family.modules[name] if shape.family else "")
    }
    shared = 2 * shape.hidden * (bool(parts & set("qkv")) + bool(parts & set("gu")))
    return shared + (2 * shape.ffn if "d" in parts else 0)


def _attention_bytes(work: Work) -> float:
    """Bytes of one block that grow with the square of the length, and of repeated key heads."""
    shape = work.shape
    if work.attention.startswith("flash"):
        return 0.0
    # Packed rows are flattened into one (trl 1.16, DataCollatorForLanguageModeling).
    square = work.tokens**2 if work.packed else work.batch * work.length**2
    if work.attention == "eager":
        # Scores in float32 and their two-byte copy; Gemma 2 keeps those before its cap as well.
        return float((8 if shape.architecture == "gemma2" else 6) * shape.heads * square)
    if work.batch == 1 and not work.packed:
        return 0.0
    return float(2 * square + 4 * work.tokens * (shape.query_width - shape.kv_width))


def _saved_activations(work: Work) -> Part:
    shape = work.shape
    layer = work.tokens * _layer_bytes(work) + _attention_bytes(work)
    residual = 4 if work.dtype == "float32" else 2
    boundary = residual * shape.hidden * work.tokens
    copies = _autocast_copies(work) + _dora_weights(work) + _past(work, work.batch)
    if work.checkpointing is True:
        total = shape.layers * boundary + layer + copies
        return Part("saved", round(total), f"{residual}H N L + one block's", "checkpointing")
    if work.checkpointing == "selective":
        # trl 1.16 models/selective_activation_checkpointing.py: attention's output is kept too.
        kept = work.tokens * (2 * shape.query_width + 4 * shape.heads)
        total = shape.layers * (boundary + kept) + layer + copies
        return Part("saved", round(total), f"({residual}H + 2Q) N L + one block's", "selective")
    total = shape.layers * layer + copies
    return Part("saved", round(total), "L (8H + 4Q + 4K + 6I + inputs) N", "kept")


def _transient(work: Work) -> Part:
    shape = work.shape
    tokens, hidden, ffn = work.tokens, shape.hidden, shape.ffn
    scale = 2 if work.dtype == "float32" and work.autocast is None else 1
    if work.method == "lora":
        return Part("transient", scale * tokens * (8 * ffn + 4 * hidden), "(8I + 4H) N", "backward")
    size = scale * tokens * (4 * ffn + 2 * hidden)
    if work.quantization != "none":
        size += 2 * hidden * ffn + hidden * ffn // 8
        return Part("transient", size, "(4I + 2H) N + 2.125 H I dequantized", "backward")
    return Part("transient", size, "(4I + 2H) N", "backward")


def _loss(work: Work) -> Part:
    shape, tokens = work.shape, work.tokens
    if work.full_logits:
        size = 16 * tokens * shape.vocab
        return Part(
            "logits", size, "16 N V", "transformers 5.23, trainer_pt_utils.py LabelSmoother"
        )
    tile = (
        2
        * min(tokens, CHUNK_TOKENS)
        * min(shape.vocab, CHUNK_VOCAB)
        * (2 if work.dtype == "float32" else 1)
    )
    size = tile + 12 * tokens * shape.hidden
    formula = "2 min(N, 4096) 32768 + 12 H N"
    if work.method == "full" or work.trains_head:
        size += 6 * shape.vocab * shape.hidden
        formula += " + 6 V H"
    return Part("logits", size, formula, "trl 1.16, kernels/chunked_logprob.py")


def _evaluation(work: Work) -> int:
    shape = work.shape
    length = work.evaluated.length
    tokens = work.eval_batch * length
    each = 2 if work.dtype != "float32" or work.autocast else 4
    block = tokens * each * (4 * shape.hidden + 3 * shape.ffn + shape.query_width)
    head = each * min(tokens, CHUNK_TOKENS) * min(shape.vocab, CHUNK_VOCAB)
    if work.full_logits:
        head = 16 * tokens * shape.vocab
    scores = 0
    if work.attention == "eager":
        # A block's scores, their float32 softmax and its two-byte copy live at once.
        square = tokens**2 if work.packed else work.eval_batch * length**2
        scores = 12 * shape.heads * square
    return max(block + scores, head) + _past(work, work.eval_batch)


def _past(work: Work, rows: int) -> int:
    """A prefix is expanded to keys and values of every row, in all blocks."""
    if work.method != "prefix":
        return 0
    each = DTYPE_BYTES[work.dtype]
    return rows * work.virtual_tokens * work.shape.layers * 2 * work.shape.kv_width * each


def _workspace(gpu: Gpu | None) -> Part:
    """CuBLAS holds one workspace for the forward and one for the backward thread."""
    if gpu is None:
        return Part("workspace", 0, "", "")
    each = 32 * MIB if gpu.capability >= (9, 0) else 8_519_680
    return Part("workspace", 2 * each, "2 x cuBLAS workspace", "torch CublasHandlePool.cpp")
