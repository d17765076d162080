"""The work whose memory is predicted: a model's shape, a method, a batch, and the switches."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ftspec.compiler.facts.model import Shape

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, slots=True)
class Work:
    """One training set-up; batch and length are of the micro-batch, in rows and tokens.

    dtype: how the base is stored. autocast: the low-precision compute type, or None.
    checkpointing: False, True or "selective". packed: several rows lie in one sequence. padded:
    rows of a batch may differ in length, so that it has a mask. counted: positions of the worst
    batch that count in the loss; 0: all. eval_length, eval_padded: the same of the held-out rows;
    0 and None: as in training.
    """

    shape: Shape
    parameters: int
    method: str
    batch: int
    length: int
    dtype: str
    autocast: str | None = None
    rank: int = 0
    targets: tuple[str, ...] = ()
    dropout: float = 0.0
    quantization: str = "none"
    double_quant: bool = True
    virtual_tokens: int = 0
    checkpointing: bool | str = False
    optimizer: str = "adamw_torch_fused"
    accumulation: int = 1
    attention: str = "sdpa"
    full_logits: bool = False
    eval_batch: int = 0
    eval_length: int = 0
    eval_padded: bool | None = None
    on_gpu: bool = True
    saved_modules: int = 0
    trains_head: bool = False
    dora: bool = False
    packed: bool = False
    padded: bool = True
    counted: int = 0
    bias: str = "none"
    modules_to_save: tuple[str, ...] = ()
    ranks: int = 1

    @property
    def tokens(self) -> int:
        """Tokens of a micro-batch; a soft prompt is part of every row."""
        extra = self.virtual_tokens if self.method == "prompt" else 0
        return self.batch * (self.length + extra)

    @property
    def evaluated(self) -> Work:
        """The set-up of its evaluation: batch, length and padding are of the held-out rows."""
        if not self.eval_batch:
            return self
        padded = self.padded if self.eval_padded is None else self.eval_padded
        length = self.eval_length or self.length
        return replace(self, batch=self.eval_batch, length=length, padded=padded)

    @property
    def trainable(self) -> int:
        """Parameters that the method trains."""
        shape = self.shape
        if self.method == "full":
            return self.parameters
        if self.method == "prompt":
            return self.virtual_tokens * shape.hidden
        if self.method == "prefix":
            return self.virtual_tokens * shape.layers * 2 * shape.kv_width
        chosen = [(i, o) for name, i, o in shape.linears() if self.adapts(name)]
        adapters = shape.layers * sum(self.rank * (i + o) for i, o in chosen)
        return adapters + self.saved_modules

    def adapts(self, module: str) -> bool:
        """Say whether a module of a block gets a LoRA adapter."""
        return self.method in ("lora", "qlora") and any(
            module == name or module.endswith("." + name) for name in self.targets
        )

    @property
    def trainable_bytes_each(self) -> int:
        """Bytes of a trained parameter: adapters are float32, on a quantized base bfloat16."""
        if self.method == "full":
            return DTYPE_BYTES[self.dtype]
        quantized = self.quantization != "none" and self.autocast != "float16"
        return 2 if quantized and self.on_gpu and self.method == "qlora" else 4
