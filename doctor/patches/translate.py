"""Say a prescription's edits in the keys of another trainer, or say why it has no key for one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ftspec.doctor.patches.trainers import AXOLOTL, LLAMA_FACTORY, Trainer, Values
from ftspec.spec.finding import Edit

PATIENCE = 3  # evaluations: what `train.early_stopping: true` means in a spec
NO_KEY = {
    "train.early_stopping": "add an EarlyStoppingCallback in code",
    "data.eval": "hold rows out in the data, and set `eval_strategy`",
    "method.target_modules": "name the modules of the architecture (`lora_target_modules`)",
    "model.chat_template": "leave the template out, so that the tokenizer's own counts",
}


@dataclass(slots=True)
class Settings:
    """Keys to set in a config, and what could not be said in them."""

    values: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def settings(
    trainer: Trainer, values: Values, edits: Sequence[Edit], steps: float | None = None
) -> Settings:
    """Return what to set in a config that holds `values`; `steps` is the length of the run."""
    found = Settings()
    for edit in edits:
        special = _SPECIAL.get(edit.path)
        if special is None or not special(trainer, values, edit, found, steps):
            _plain(trainer, values, edit, found)
    return found


def _plain(trainer: Trainer, values: Values, edit: Edit, found: Settings) -> None:
    key = trainer.key(edit.path, values)
    if key is None:
        instead = NO_KEY.get(edit.path)
        said = f": {instead}" if instead else ""
        found.notes.append(f"{trainer.name} has no key for `{edit.path}`{said}")
        return
    now = as_number(values.get(key))
    before = as_number(edit.before)
    if now is not None and before is not None and not math.isclose(now, before, rel_tol=0.05):
        found.notes.append(f"`{key}` is {now:g} there, and was {before:g} in the run")
    found.values[key] = edit.after


def _warmup(
    trainer: Trainer, values: Values, edit: Edit, found: Settings, steps: float | None
) -> bool:
    """A share goes to the ratio where the file has one; else to steps, which all versions read."""
    if edit.after >= 1:
        found.values["warmup_steps"] = int(edit.after)
    elif not values.get("warmup_steps") and (trainer is AXOLOTL or "warmup_ratio" in values):
        found.values["warmup_ratio"] = edit.after
    elif steps:
        found.values["warmup_steps"] = max(1, round(edit.after * steps))
    else:
        found.values["warmup_ratio"] = edit.after
    if "warmup_steps" in found.values and values.get("warmup_ratio"):
        found.notes.append("take `warmup_ratio` out: steps take its place")
    return True


def _effective_batch(
    trainer: Trainer, values: Values, edit: Edit, found: Settings, steps: float | None
) -> bool:
    """No trainer has one key for it: accumulation is raised by the same factor."""
    before = as_number(edit.before)
    now = as_number(values.get("gradient_accumulation_steps", 1))
    if not before or not now:
        found.notes.append(f"multiply `gradient_accumulation_steps` up to {edit.after} rows a step")
        return True
    if "gradient_accumulation_steps" not in found.values:
        found.values["gradient_accumulation_steps"] = max(1, round(now * edit.after / before))
    return True


def _early_stopping(
    trainer: Trainer, values: Values, edit: Edit, found: Settings, steps: float | None
) -> bool:
    key = trainer.key(edit.path, values)
    if key is None or not edit.after:
        return False
    patience = edit.after.get("patience", PATIENCE) if isinstance(edit.after, dict) else PATIENCE
    found.values[key] = patience
    if trainer is LLAMA_FACTORY and not values.get("load_best_model_at_end"):
        found.values["load_best_model_at_end"] = True
        found.notes.append("evaluations and checkpoints are needed at the same steps for it")
    return True


def _dtype(
    trainer: Trainer, values: Values, edit: Edit, found: Settings, steps: float | None
) -> bool:
    if edit.after not in ("bfloat16", "float16"):
        return False
    found.values["bf16"] = edit.after == "bfloat16"
    if "fp16" in values or edit.after == "float16":
        found.values["fp16"] = edit.after == "float16"
    for key in ("dtype", "torch_dtype"):
        if values.get(key) in ("float16", "bfloat16"):
            found.values[key] = edit.after
    return True


def _four_bit(
    trainer: Trainer, values: Values, edit: Edit, found: Settings, steps: float | None
) -> bool:
    if edit.after != "qlora" or not trainer.four_bit:
        return False
    found.values.update(trainer.four_bit)
    return True


def _checkpointing(
    trainer: Trainer, values: Values, edit: Edit, found: Settings, steps: float | None
) -> bool:
    if trainer is not LLAMA_FACTORY:
        return False
    found.values["disable_gradient_checkpointing"] = not edit.after
    return True


def _held_out(
    trainer: Trainer, values: Values, edit: Edit, found: Settings, steps: float | None
) -> bool:
    key = trainer.key(edit.path, values)
    if key is None or not str(edit.after).endswith("%"):
        return False
    found.values[key] = float(str(edit.after).removesuffix("%")) / 100
    if trainer is LLAMA_FACTORY and "eval_strategy" not in values:
        found.values["eval_strategy"] = "steps"
    return True


_SPECIAL = {
    "train.warmup": _warmup,
    "train.effective_batch": _effective_batch,
    "train.early_stopping": _early_stopping,
    "train.activation_checkpointing": _checkpointing,
    "model.dtype": _dtype,
    "method.type": _four_bit,
    "data.eval": _held_out,
}


def as_number(value: Any) -> float | None:
    """Return a number that stands in a file: YAML 1.1 reads `2e-4` as a word."""
    if value is None or isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
