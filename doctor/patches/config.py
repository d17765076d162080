"""Another trainer's config as what prescriptions patch, and the one that lies beside a log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ftspec.doctor.curves.series import Run
from ftspec.doctor.diagnose import SpecText
from ftspec.doctor.patches.text import set_keys, values_of
from ftspec.doctor.patches.trainers import TRAINERS, Trainer, Values
from ftspec.doctor.patches.translate import as_number, settings
from ftspec.spec.edit import CannotEditError, apply
from ftspec.spec.finding import Edit
from ftspec.spec.model import Spec

LARGEST = 256 * 1024  # bytes: a config is a page of text
MOST_FILES = 40  # of a folder: where there are more, no config is looked for
_INTEGERS = (
    *("method.r", "method.alpha", "train.batch_size", "train.gradient_accumulation"),
    *("train.max_steps", "train.logging_steps", "train.eval_steps", "train.save_steps"),
    *("train.eval_batch_size", "data.max_length"),
)
_FLOATS = ("method.dropout", "train.learning_rate", "train.epochs", "train.max_grad_norm")


class UnknownConfigError(Exception):
    """A file that is no trainer's config, or one that is not understood."""


@dataclass(frozen=True, slots=True)
class ConfigText(SpecText):
    """A trainer's config: `spec` is what it says in the words of a spec, where its method is known.

    The remedies are worked out from that; the patch is said in the trainer's own keys.
    """

    trainer: Trainer
    as_json: bool

    @classmethod
    def read(cls, name: str, text: str) -> ConfigText:
        """Recognize a config by its keys. Raises UnknownConfigError."""
        as_json = name.endswith(".json")
        try:
            values = values_of(text, as_json)
        except CannotEditError as error:
            raise UnknownConfigError(f"`{name}` is no config: {error}") from None
        for trainer in TRAINERS:
            if trainer.marks(values):
                return cls(name, text, spec_of(trainer, values), False, trainer, as_json)
        known = ", ".join(trainer.name for trainer in TRAINERS)
        raise UnknownConfigError(f"`{name}` is not a config of one of {known}")


@dataclass(frozen=True, slots=True)
class Patched:
    """The text with edits made, and what could not be said in it."""

    text: str
    notes: tuple[str, ...] = ()


def patched(target: SpecText, edits: Sequence[Edit], run: Run) -> Patched:
    """Return a spec's or a config's text with edits made. Raises CannotEditError."""
    if not isinstance(target, ConfigText):
        return Patched(apply(target.text, edits))
    values = values_of(target.text, target.as_json)
    asked = settings(target.trainer, values, edits, _steps(run))
    text = set_keys(target.text, asked.values, target.as_json) if asked.values else target.text
    return Patched(text, tuple(asked.notes))


def patchable(target: SpecText | None) -> bool:
    """Say whether there is a text that edits can be made in."""
    return target is not None and (isinstance(target, ConfigText) or target.spec is not None)


def spec_of(trainer: Trainer, values: Values) -> Spec | None:
    """Return a config in the words of a spec, key by key as far as it is valid there."""
    method = trainer.method(values)
    if method is None:
        return None
    name = str(values.get(trainer.model) or "unknown")
    said: dict[str, dict[str, Any]] = {"model": {"name": name}, "method": {"type": method}}
    spec = Spec.model_validate(said)
    for path in (*_INTEGERS, *_FLOATS):
        section, key = path.split(".")
        value = as_number(values.get(trainer.key(path, values) or ""))
        if value is None or (path == "train.epochs" and spec.train.max_steps):
            continue
        typed = int(value) if path in _INTEGERS else value
        wider = {**said, section: {**said.get(section, {}), key: typed}}
        try:
            spec, said = Spec.model_validate(wider), wider
        except ValidationError:
            continue
    return _with_words(spec, values)


def _with_words(spec: Spec, values: Values) -> Spec:
    """Add what is not a number: float16, checkpointing, early stopping."""
    half = values.get("fp16") is True and values.get("bf16") is not True
    model = spec.model.model_copy(update={"dtype": "float16"} if half else {})
    patience = values.get("early_stopping_patience") or values.get("early_stopping_steps")
    train: dict[str, Any] = {"activation_checkpointing": _checkpointed(values)}
    if patience:
        train["early_stopping"] = True
    update = {"model": model, "train": spec.train.model_copy(update=train)}
    return spec.model_copy(update=update)


def _checkpointed(values: Values) -> bool | None:
    if "disable_gradient_checkpointing" in values or "finetuning_type" in values:
        return not values.get("disable_gradient_checkpointing")  # LLaMA-Factory's default is on
    now = values.get("gradient_checkpointing")
    return bool(now) if now is not None else None


def config_beside(log: Path) -> ConfigText | None:
    """Return the one config in a log's folder, or above its checkpoint's; None where not one."""
    folder = log.absolute().parent if log.is_file() else log.absolute()
    folders = [folder, folder.parent] if folder.name.startswith("checkpoint-") else [folder]
    for place in folders:
        found = _configs_in(place, log)
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _configs_in(folder: Path, log: Path) -> list[ConfigText]:
    try:
        files = sorted(
            file
            for file in folder.iterdir()
            if file.suffix in (".yaml", ".yml", ".json") and file.absolute() != log.absolute()
        )
    except OSError:
        return []
    found = []
    for file in files if len(files) <= MOST_FILES else ():
        try:
            if file.stat().st_size <= LARGEST:
                found.append(ConfigText.read(_shown(file), file.read_bytes().decode("utf-8")))
        except (OSError, UnicodeDecodeError, UnknownConfigError):
            continue
    return found


def _shown(file: Path) -> str:
    """Return the path as a person in this folder would write it."""
    here = Path.cwd()
    return str(file.relative_to(here)) if file.is_relative_to(here) else str(file)


def _steps(run: Run) -> float | None:
    if run.planned and run.planned.max_steps:
        return float(run.planned.max_steps)
    return max((s for s in run.column("step") if s is not None), default=None)
