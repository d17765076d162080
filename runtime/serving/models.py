"""What is served: a base with adapters by name, or whole models."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftspec.runtime.finished import newest_finished
from ftspec.runtime.project import fact, read_plan

BASE = "base"  # the name of the untuned base
TUNED = "tuned"  # the name of the project's own run
NAME = re.compile(r"[A-Za-z0-9_-]+")
LORA = "LORA"
WITHOUT_SERVER = {"PREFIX_TUNING": "a prefix", "PROMPT_TUNING": "a soft prompt"}


class NotServableError(Exception):
    """What was asked for cannot be served; `hint` is what can be done instead."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Served:
    """A trained model that is served under a name; `config` is that of an adapter, else empty."""

    name: str
    folder: Path
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rank(self) -> int:
        """The largest rank of a LoRA adapter."""
        patterns = self.config.get("rank_pattern") or {}
        return max(int(rank) for rank in (self.config.get("r", 0), *patterns.values()))

    @property
    def template(self) -> Path | None:
        """The chat template that it was trained with."""
        path = self.folder / "chat_template.jinja"
        return path if path.is_file() else None


@dataclass(frozen=True, slots=True)
class Offer:
    """Everything that is served together: one base for all adapters, or whole models alone.

    base: a folder, or a name of the hub; None where the models are whole.
    quantization: how the base was quantized in training: `nf4`, `fp4`, `int8` or `none`.
    system: whether training began each conversation with a system prompt of the spec.
    """

    models: tuple[Served, ...]
    base: str | None
    revision: str | None
    dtype: str
    quantization: str
    double_quant: bool
    trust_remote_code: bool
    system: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The names that a request can give as its model."""
        return ((BASE,) if self.base else ()) + tuple(model.name for model in self.models)


def offer(project: Path, final: Path | None, others: Sequence[tuple[str, Path]]) -> Offer:
    """Return what a project serves: its run's `final`, and other trained models by their names.

    Raises NotServableError where one cannot be served, or not together; NotAProjectError.
    """
    plan = read_plan(project)
    wanted = [(TUNED, final)] if final is not None else []
    models = tuple(_served(name, folder) for name, folder in [*wanted, *others])
    if len({model.name for model in models}) < len(models):
        raise NotServableError("two models have the same name")
    whole = [model for model in models if not model.config]
    if whole and len(whole) < len(models):
        raise NotServableError(
            f"`{whole[0].name}` is a whole model and others are adapters: they share no base",
            "serve them apart, on two ports",
        )
    base, revision = _base(project, plan, models[0].folder)
    for model in models:
        _check_base(model, models[0], base)
    double = fact(plan, "method", "double_quant")
    return Offer(
        models,
        None if whole else base,
        None if whole else revision,
        str(fact(plan, "model", "dtype") or "bfloat16"),
        "none" if whole else str(fact(plan, "method", "quantization") or "none"),
        double is not False,
        fact(plan, "model", "trust_remote_code") is True,
        bool(fact(plan, "data", "system")),
    )


def folder_of(path: Path) -> Path:
    """Return the folder of a trained model: given itself, as its run's, or as its project's."""
    run = newest_finished(path)
    for found in (path, path / "final", *([run.path / "final"] if run else [])):
        if any((found / name).is_file() for name in ("adapter_config.json", "config.json")):
            return found.resolve()
    raise NotServableError(f"`{path}` holds no trained model")


def _served(name: str, folder: Path) -> Served:
    if not NAME.fullmatch(name) or name == BASE:
        raise NotServableError(f"`{name}` is no name for a model: letters, digits, - and _")
    folder = folder_of(folder)
    config = _json(folder / "adapter_config.json")
    kind = config.get("peft_type", LORA)
    if kind in WITHOUT_SERVER:
        raise NotServableError(
            f"`{name}` is {WITHOUT_SERVER[kind]}, which neither vLLM nor transformers serve loads",
            "ftspec chat talks to it; for a server, train a LoRA adapter",
        )
    if kind != LORA:
        raise NotServableError(f"`{name}` is an adapter of the kind {kind}: only LoRA is served")
    return Served(name, folder, config)


def _base(project: Path, plan: Mapping[str, Any], folder: Path) -> tuple[str, str | None]:
    """Return where the base lies, and at which commit."""
    name = str(fact(plan, "model", "name"))
    if fact(plan, "model", "local"):
        return str((project / name).resolve()), None
    commit = fact(plan, "model", "revision") or _json(folder / "base.json").get("commit")
    return name, commit


def _check_base(model: Served, first: Served, base: str) -> None:
    """Refuse an adapter that says it was trained on another base."""
    hashes = [_json(each.folder / "base.json").get("weights") for each in (model, first)]
    if model.config and None not in hashes and hashes[0] != hashes[1]:
        raise NotServableError(f"`{model.name}` and `{first.name}` were trained on different bases")
    told = model.config.get("base_model_name_or_path")
    if told and None in hashes and Path(told).name != Path(base).name:
        raise NotServableError(f"`{model.name}` was trained on {told}, not on {base}")


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
