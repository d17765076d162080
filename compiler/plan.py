"""The plan: every choice of a run made, each with its reason. The templates' only input."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ftspec.spec.model import (
    Attention,
    Dtype,
    EarlyStopping,
    Format,
    MethodName,
    Metric,
    Optimizer,
    Quantization,
    Run,
    Scheduler,
)

SCHEMA_VERSION = 1


class Part(BaseModel):
    """A part of the plan: closed, frozen, complete."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), defer_build=True
    )


class ModelPlan(Part):
    """The model, and how it is loaded. `gguf`: the file that `convert.py` writes `name` from."""

    name: str
    local: bool
    gguf: str | None
    revision: str | None
    dtype: Dtype
    attention: Attention
    chat_template: str | None
    chat_template_fallback: bool
    trust_remote_code: bool
    architecture: str | None
    parameters: int | None


class MethodPlan(Part):
    """The method with all its numbers; those that belong to other methods are None."""

    type: MethodName
    r: int | None
    alpha: int | None
    dropout: float | None
    target_modules: tuple[str, ...] | None
    fan_in_fan_out: bool
    rslora: bool
    dora: bool
    bias: Literal["none", "all", "lora_only"]
    modules_to_save: tuple[str, ...] | None
    quantization: Quantization
    double_quant: bool
    num_virtual_tokens: int | None
    init: Literal["text", "vocab", "random"] | None
    init_text: str | None


class DataPlan(Part):
    """Where rows come from, and what becomes of them. Counts are None where not known."""

    kind: Literal["json", "csv", "parquet", "hub"]
    train: tuple[str, ...]
    split: str
    train_rows: int | None
    eval_from: Literal["share", "file", "none"]
    eval: tuple[str, ...]
    eval_kind: Literal["json", "csv", "parquet", "hub"]
    eval_split: str
    eval_rows: int | None
    eval_share: float | None
    format: Format
    columns: dict[str, str]
    max_length: int
    packing: bool
    train_on_prompt: bool
    system: str | None


class TrainPlan(Part):
    """The training loop. `steps_an_epoch` and `total_steps` are None where rows are not known."""

    batch_size: int
    gradient_accumulation: int
    effective_batch: int
    rows_a_step: int
    learning_rate: float
    epochs: float | None
    max_steps: int | None
    scheduler: Scheduler
    scheduler_options: dict[str, float]
    warmup: float | int
    optimizer: Optimizer
    weight_decay: float
    max_grad_norm: float
    label_smoothing: float
    seed: int
    activation_checkpointing: bool | Literal["selective"]
    compile: bool
    logging_steps: int
    eval_steps: int
    save_steps: int
    save_limit: int
    eval_batch_size: int
    early_stopping: EarlyStopping | Literal[False]
    report_to: tuple[str, ...]
    precision: Literal["bf16", "fp16", "none"]
    steps_an_epoch: int | None
    total_steps: int | None


class HardwarePlan(Part):
    """What the plan was made for."""

    device: Literal["cuda", "cpu"]
    gpu: str | None
    count: int
    nodes: int
    split_model: bool
    free_bytes: int
    detected: bool


class MemoryPlan(Part):
    """The predicted memory, in the form that programs read (bytes)."""

    verdict: Literal["fits", "tight", "no", "unknown"]
    phase: str | None
    peak_bytes: int | None
    low_bytes: int | None
    high_bytes: int | None
    allocated_peak_bytes: int | None
    reserved_peak_bytes: int | None
    moment: str | None
    expected_peak_bytes: int | None
    context_bytes: int | None
    free_bytes: int
    parts: dict[str, int]
    formulas: dict[str, str]
    phases: dict[str, int]
    ranks: int
    host_bytes: int | None
    disk_bytes: int | None
    method: str
    note: str


class Why(Part):
    """Where a choice comes from: the spec, or the plan, and why."""

    by: Literal["spec", "plan"]
    reason: str


class Change(Part):
    """A value of the spec that the plan changed."""

    path: str
    asked: Any
    planned: Any
    rule: str
    reason: str


class Facts(Part):
    """The facts that decided something. `model_commit`: the commit on the hub, where known."""

    model_source: str
    model_commit: str | None
    data_digest: str | None
    eval_digest: str | None
    mean_tokens: float | None
    longest_tokens: int | None
    rows_over_length: int | None
    supervised_tokens: int | None
    lengths: Literal["measured", "unknown"]
    tested_with: dict[
        Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")],
        Annotated[str, Field(pattern=r"^[0-9A-Za-z.+-]+$")],
    ]


class SpecText(Part):
    """The spec as given; the project keeps it as `ftspec.yaml`."""

    name: str
    text: str


class Plan(Part):
    """A fully resolved decision: nothing is left to a default."""

    schema_version: Literal[1] = 1
    ftspec: str = Field(pattern=r"^[0-9A-Za-z.+-]+$")
    output: str
    model: ModelPlan
    method: MethodPlan
    data: DataPlan
    train: TrainPlan
    hardware: HardwarePlan
    evaluate: tuple[Metric, ...]
    run: Run
    memory: MemoryPlan
    facts: Facts
    why: dict[str, Why]
    changes: tuple[Change, ...]
    spec: SpecText

    def to_json(self) -> str:
        """Return the plan as text: the same plan gives the same bytes."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"

    @property
    def digest(self) -> str:
        """A short hash of what is learnt and from what; a run goes on only under the same."""
        return learning_digest(self.model_dump(mode="json"))


# Keys that change how fast a run is, or what it needs, and not what it learns.
HOW = ("batch_size", "gradient_accumulation", "activation_checkpointing", "eval_batch_size")
HOW_TOO = ("compile", "logging_steps", "report_to")


def learning_digest(plan: Mapping[str, Any]) -> str:
    """Return the hash of a plan's parts that decide what is learnt (of plan.json's content)."""
    parts = {name: plan.get(name) for name in ("model", "method", "data", "train")}
    train = parts["train"] if isinstance(parts["train"], dict) else {}
    parts["train"] = {key: value for key, value in train.items() if key not in HOW + HOW_TOO}
    facts = plan.get("facts")
    if isinstance(facts, dict):
        parts["digests"] = [facts.get("data_digest"), facts.get("eval_digest")]
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
