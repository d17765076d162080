"""The spec: every key a user may write, typed and described. `CONTRACT`: keys of a spec."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ftspec.spec.values import (
    CardName,
    Checkpointing,
    EvalSource,
    Open,
    Size,
    SwitchAllowed,
    Texts,
    Warmup,
    Words,
    refuse,
)

MethodName = Literal["full", "lora", "qlora", "prefix", "prompt"]
Dtype = Literal["bfloat16", "float16", "float32"]
Attention = Literal["sdpa", "eager", "flash_attention_2", "flash_attention_3", "flex_attention"]
Format = Literal["alpaca", "sharegpt", "messages", "prompt-completion", "text"]
Quantization = Literal["nf4", "fp4", "int8", "none"]
Scheduler = Literal[
    "linear",
    "cosine",
    "constant",
    "constant_with_warmup",
    "cosine_with_min_lr",
    "warmup_stable_decay",
]
Optimizer = Literal[
    "adamw_torch_fused",
    "adamw_torch",
    "adamw_8bit",
    "paged_adamw_8bit",
    "paged_adamw_32bit",
    "adafactor",
    "sgd",
]
Metric = Literal["perplexity", "bleu", "chrf", "rouge", "exact-match"]
Leave = Literal["quantize", "shorten", "regularize", "offload", "optimizer"]
Tracker = Literal["tensorboard", "wandb", "mlflow", "trackio"]

TARGET_PRESETS = ("attention-min", "attention", "all-linear")


class Section(BaseModel):
    """A part of a spec: strict, frozen, and closed to unknown keys."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True
    )


class Model(Section):
    """Which model is fine-tuned, and how it is loaded."""

    name: str = Field(
        min_length=1,
        description="Hub id, local folder (a `config.json` is enough for check and build), "
        "or GGUF file.",
    )
    revision: Open[str] = Field(None, description="Commit or tag on the hub; open: the newest.")
    dtype: Open[Dtype] = Field(None, description="How the weights are stored.")
    attention: Open[Attention] = Field(
        None, description="The attention kernel; open: the fastest that is right for the model."
    )
    chat_template: Open[str] = Field(
        None,
        description="A file or inline Jinja; open: the tokenizer's own, else a stated plain one.",
    )
    trust_remote_code: bool = Field(
        False, description="Run the Python code that the model's repository brings."
    )


class Method(Section):
    """How the model is fine-tuned."""

    type: MethodName = Field(description="full, lora, qlora, prefix or prompt.")
    r: Open[int] = Field(None, ge=1, le=4096, description="Rank of the LoRA matrices.")
    alpha: Open[int] = Field(
        None, ge=1, le=65536, description="LoRA scale: the update is (alpha / r) * B A."
    )
    dropout: Open[float] = Field(None, ge=0, lt=1, description="Dropout before the LoRA matrices.")
    target_modules: Open[Texts] = Field(
        None,
        description="Which linear layers get an adapter: `attention-min` (q, v), `attention` "
        "(q, k, v, o), `all-linear` (also gate, up, down), or a list of names.",
    )
    rslora: Open[bool] = Field(None, description="Scale by alpha / sqrt(r) (rank-stabilized LoRA).")
    dora: Open[bool] = Field(None, description="Decompose weights into magnitude and direction.")
    bias: Open[Literal["none", "all", "lora_only"]] = Field(
        None, description="Which biases are trained beside the adapters."
    )
    modules_to_save: Open[Words[Annotated[str, Field(min_length=1)]]] = Field(
        None, description="Modules trained in full beside the adapters."
    )
    quantization: Open[Quantization] = Field(
        None, description="How the frozen base is quantized (qlora, prefix, prompt)."
    )
    double_quant: Open[bool] = Field(
        None, description="Quantize the quantization constants too (nf4 and fp4)."
    )
    num_virtual_tokens: Open[int] = Field(
        None, ge=1, le=4096, description="Length of the prefix or of the soft prompt."
    )
    init: Open[Literal["text", "vocab", "random"]] = Field(
        None, description="How a soft prompt starts."
    )
    init_text: Open[str] = Field(
        None, min_length=1, description="The text a soft prompt starts as."
    )


class Data(Section):
    """What is learnt from, and what is held out."""

    train: Open[Texts] = Field(
        None, description="Path, glob, list of them, or hub id (`name` or `name:split`)."
    )
    eval: Open[EvalSource] = Field(None, description="Held out: a share (`5%`), a path, or `none`.")
    format: Open[Format] = Field(None, description="The rows' format; open: detected, and said.")
    columns: Open[dict[str, str]] = Field(
        None, description="The format's field names, each with the file's own column name."
    )
    max_length: Open[int] = Field(
        None, ge=8, description="Longest row, in tokens; what is over it is cut off."
    )
    packing: Open[bool] = Field(None, description="Put several short rows into one sequence.")
    train_on_prompt: Open[bool] = Field(None, description="Learn the prompts too.")
    system: Open[str] = Field(None, description="A system message for rows that have none.")


class EarlyStopping(Section):
    """When training ends before its last step."""

    patience: int = Field(3, ge=1, description="Evaluations without a better loss before the end.")
    min_delta: float = Field(0.0, ge=0, description="How much lower a loss must be to be better.")


def _early_stopping(value: Any) -> Any:
    if value is True:
        return EarlyStopping()
    if value is False or value is None or isinstance(value, dict):
        return value
    raise refuse("`true`, `false`, or a map of `patience` and `min_delta`")


class Train(Section):
    """The training loop."""

    batch_size: Open[int] = Field(
        None, ge=1, le=4096, description="Micro-batch: examples in memory at once, on each rank."
    )
    gradient_accumulation: Open[int] = Field(
        None, ge=1, le=65536, description="Micro-batches summed before a step."
    )
    effective_batch: Open[int] = Field(
        None, ge=1, description="Examples a step: micro-batch x accumulation x ranks."
    )
    learning_rate: Open[float] = Field(
        None, gt=0, le=1, description="Peak learning rate; open: by method and size."
    )
    epochs: Open[float] = Field(None, gt=0, le=1000, description="Passes over the data.")
    max_steps: Open[int] = Field(None, ge=1, description="Optimizer steps, instead of epochs.")
    scheduler: Open[Scheduler] = Field(None, description="The learning rate's course.")
    warmup: Open[Warmup] = Field(None, description="A share (under 1) or a number of steps.")
    optimizer: Open[Optimizer] = Field(None, description="The optimizer.")
    weight_decay: Open[float] = Field(None, ge=0, le=1, description="Decoupled weight decay.")
    max_grad_norm: Open[float] = Field(
        None, ge=0, description="Gradients are clipped to this norm; 0: not clipped."
    )
    label_smoothing: Open[float] = Field(None, ge=0, lt=1, description="Share given to all tokens.")
    seed: Open[int] = Field(None, ge=0, le=2**32 - 1, description="Seed of every random choice.")
    activation_checkpointing: Open[Checkpointing] = Field(
        None, description="Recompute activations instead of keeping them: true, false, selective."
    )
    compile: Open[bool] = Field(None, description="Compile the model with torch.compile.")
    logging_steps: Open[int] = Field(None, ge=1, description="Steps between two log lines.")
    eval_steps: Open[int] = Field(None, ge=1, description="Steps between two evaluations.")
    save_steps: Open[int] = Field(None, ge=1, description="Steps between two checkpoints.")
    save_limit: Open[int] = Field(None, ge=1, description="Checkpoints kept.")
    eval_batch_size: Open[int] = Field(None, ge=1, le=4096, description="Rows evaluated at once.")
    early_stopping: Annotated[
        Open[Literal[False] | EarlyStopping], BeforeValidator(_early_stopping), SwitchAllowed()
    ] = Field(None, description="Stop when the held-out loss no longer falls.")
    report_to: Open[Words[Tracker]] = Field(None, description="Experiment trackers.")


class Hardware(Section):
    """What the run stands on."""

    gpu: Open[CardName] = Field(
        None, min_length=1, description="A card by its name, such as `rtx-4090`."
    )
    count: Open[int] = Field(None, ge=1, le=1024, description="Cards on each node.")
    nodes: Open[int] = Field(None, ge=1, le=1024, description="Machines.")
    vram_limit: Open[Size] = Field(None, description="Use no more than this of each card.")
    price_per_hour: Open[float] = Field(None, ge=0, description="Price of the hardware an hour.")


class Tune(Section):
    """What the planner may change."""

    memory: Literal["auto", "suggest", "off"] = Field("auto", description="Make the run fit.")
    speed: Literal["auto", "suggest", "off"] = Field("auto", description="Make the run fast.")
    overfitting: Literal["auto", "suggest", "off"] = Field(
        "auto", description="Keep the run from overfitting."
    )
    allow: Words[Leave] = Field(
        (), description="Changes of what is learnt that need no further question."
    )


class Run(Section):
    """What the supervisor does on a finding."""

    on_oom: Literal["retry", "stop"] = Field("retry", description="On running out of memory.")
    on_nan: Literal["stop", "rollback", "continue"] = Field(
        "stop", description="On a loss or gradient that is not finite."
    )
    on_divergence: Literal["stop", "rollback", "continue"] = Field(
        "stop", description="On a loss that runs away."
    )
    on_hang: Literal["stop", "retry", "continue"] = Field("stop", description="On no progress.")
    max_attempts: int = Field(5, ge=1, le=100, description="Attempts before the run is given up.")


class Spec(Section):
    """A whole spec, in its full form; `spec.canonical` brings the short forms to it."""

    model: Model
    method: Method
    data: Data = Data.model_validate({})
    train: Train = Train.model_validate({})
    hardware: Hardware = Hardware.model_validate({})
    tune: Tune = Tune.model_validate({})
    evaluate: Open[Words[Metric]] = Field(
        None, description="What is measured after training; open: perplexity."
    )
    run: Run = Run.model_validate({})
    output: Open[str] = Field(
        None, min_length=1, description="The project folder, relative to the spec's folder."
    )
