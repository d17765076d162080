"""The trainers whose configs are understood: how each calls what a spec sets.

Sources: Axolotl, docs/config-reference; LLaMA-Factory, src/llamafactory/hparams; TRL, SFTConfig and
ModelConfig; transformers, TrainingArguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Trainer:
    """A trainer: its keys by the paths of a spec, what marks its files, its method in them.

    Of several keys for one path the first that stands in the file is meant, else the first.
    """

    name: str
    keys: Mapping[str, tuple[str, ...]]
    marks: Callable[[Values], bool]
    method: Callable[[Values], str | None]
    model: str = "model_name_or_path"
    four_bit: Mapping[str, Any] = field(default_factory=dict)

    def key(self, path: str, values: Values) -> str | None:
        """Return the key that a file sets a path of a spec with; None where there is none."""
        names = self.keys.get(path, ())
        return next((name for name in names if name in values), next(iter(names), None))


_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "train.learning_rate": ("learning_rate",),
    "train.epochs": ("num_train_epochs",),
    "train.max_steps": ("max_steps",),
    "train.batch_size": ("per_device_train_batch_size",),
    "train.gradient_accumulation": ("gradient_accumulation_steps",),
    "train.eval_batch_size": ("per_device_eval_batch_size",),
    "train.scheduler": ("lr_scheduler_type",),
    "train.optimizer": ("optim",),
    "train.weight_decay": ("weight_decay",),
    "train.max_grad_norm": ("max_grad_norm",),
    "train.label_smoothing": ("label_smoothing_factor",),
    "train.logging_steps": ("logging_steps",),
    "train.eval_steps": ("eval_steps",),
    "train.save_steps": ("save_steps",),
    "train.activation_checkpointing": ("gradient_checkpointing",),
}
_OF_ARGUMENTS = {"per_device_train_batch_size", "num_train_epochs", "learning_rate", "max_steps"}
_LORA: Mapping[str, tuple[str, ...]] = {
    "method.r": ("lora_r",),
    "method.alpha": ("lora_alpha",),
    "method.dropout": ("lora_dropout",),
}


def _axolotl_method(values: Values) -> str | None:
    adapter = values.get("adapter") or "full"
    return adapter if adapter in ("lora", "qlora", "full") else None


def _factory_method(values: Values) -> str | None:
    kind = values.get("finetuning_type", "lora")
    if kind == "lora":
        return "qlora" if values.get("quantization_bit") else "lora"
    return "full" if kind == "full" else None


def _trl_method(values: Values) -> str:
    if not values.get("use_peft"):
        return "full"
    return "qlora" if values.get("load_in_4bit") else "lora"


AXOLOTL = Trainer(
    "Axolotl",
    {
        **_ARGUMENTS,
        **_LORA,
        "train.epochs": ("num_epochs",),
        "train.batch_size": ("micro_batch_size",),
        "train.eval_batch_size": ("eval_batch_size",),
        "train.scheduler": ("lr_scheduler",),
        "train.optimizer": ("optimizer",),
        "train.early_stopping": ("early_stopping_patience",),
        "data.max_length": ("sequence_len",),
        "data.eval": ("val_set_size",),
    },
    lambda values: "base_model" in values and bool({"datasets", "micro_batch_size"} & {*values}),
    _axolotl_method,
    model="base_model",
    four_bit={"adapter": "qlora", "load_in_4bit": True},
)
LLAMA_FACTORY = Trainer(
    "LLaMA-Factory",
    {
        **_ARGUMENTS,
        **_LORA,
        "method.r": ("lora_rank",),
        "train.early_stopping": ("early_stopping_steps",),
        "train.activation_checkpointing": ("disable_gradient_checkpointing",),
        "data.max_length": ("cutoff_len",),
        "data.eval": ("val_size",),
    },
    lambda values: (
        "model_name_or_path" in values
        and bool({"finetuning_type", "cutoff_len", "stage", "template"} & {*values})
    ),
    _factory_method,
    four_bit={"quantization_bit": 4},
)
TRL = Trainer(
    "TRL",
    {**_ARGUMENTS, **_LORA, "data.max_length": ("max_length", "max_seq_length")},
    lambda values: (
        "model_name_or_path" in values
        and bool({"dataset_name", "use_peft", "output_dir", "learning_rate"} & {*values})
    ),
    _trl_method,
    four_bit={"load_in_4bit": True},
)
ARGUMENTS = Trainer(
    "TrainingArguments",
    {**_ARGUMENTS, "data.max_length": ("max_length", "max_seq_length")},
    lambda values: "output_dir" in values and bool({*values} & _OF_ARGUMENTS),
    lambda values: None,
)
# LLaMA-Factory's marks are a part of TRL's, and TRL's of the bare arguments': the first counts.
TRAINERS = (AXOLOTL, LLAMA_FACTORY, TRL, ARGUMENTS)
