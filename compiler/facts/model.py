"""Facts of a model: its shape, its tokenizer, its limits; from files, the catalogue or the hub."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ftspec.compiler.facts import catalogue, hub
from ftspec.compiler.facts.architectures import ARCHITECTURES
from ftspec.compiler.facts.config import (
    MissingKeyError,
    ModelUnreadableError,
    shape_of,
    text_config,
)
from ftspec.compiler.facts.config_keys import Fault, refusal
from ftspec.compiler.facts.json_places import parsed
from ftspec.compiler.facts.shape import Shape

__all__ = ["ModelFacts", "ModelUnreadableError", "Shape", "resolve_model", "shape_of"]

MOST_CONFIG = 4 * 2**20  # bytes of a config.json; the longest public ones have about 200 kB
# A header's widths and its tensors may differ by what a family's formula does not know.
GGUF_TOLERANCE = 0.05


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of a model. `folder` is set for local models; `None` fields are unknown.

    `config` is what AutoConfig.for_model(**config) builds the model from: the keys as read, with
    a `text_config` in its place, since AutoModelForCausalLM builds what lies around it as well.
    `parameters`: a tied weight once, all experts. `active_parameters`: those that one token
    passes through. `revision`: the commit that the config is of. `tensor_types`: of a GGUF file,
    how many tensors of each type. `note`: why something is unknown, or where it was found.
    """

    name: str
    source: str  # folder, gguf, catalogue, hub, unknown
    shape: Shape | None = None
    parameters: int | None = None
    folder: Path | None = None
    tokenizer_file: Path | None = None
    chat_template: str | None = None
    tokenizer_known: bool = False
    special_tokens: Mapping[str, str] | None = None
    quantized: str | None = None
    note: str = ""
    config: Mapping[str, Any] | None = None
    revision: str | None = None
    tensor_types: Mapping[str, int] | None = None

    @property
    def local(self) -> bool:
        """Whether the model lies on this machine."""
        return self.folder is not None or self.source == "gguf"

    @property
    def active_parameters(self) -> int | None:
        """Parameters that one token passes through; all of them where there are no experts."""
        if self.shape is None or self.parameters is None or not self.shape.experts:
            return self.parameters
        return self.parameters - self.shape.parameters + self.shape.active_parameters


def resolve_model(name: str, root: Path, revision: str | None = None) -> ModelFacts:
    """Find out about the model `name`, as seen from the folder `root`.

    A folder or file comes first, then the hub's cache on this machine, then the catalogue, then
    the hub (config.json alone, at most 3 s). Raises ModelUnreadableError where there is a config
    that cannot be used.
    """
    path = root / Path(name).expanduser()
    if name.lower().endswith(".gguf"):
        return _from_gguf(name, path)
    if path.is_dir():
        return _from_folder(name, path)
    if path.is_file():
        raise ModelUnreadableError(f"`{name}` is a file: name its folder, a hub id or a GGUF file")
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelUnreadableError(f"there is no folder `{name}`")
    snapshot = hub.cached(name, revision)
    if snapshot is not None:
        return _from_snapshot(name, snapshot)
    known = catalogue.known_model(name)
    if known is not None:
        facts = ModelFacts(name, "catalogue", parameters=known.parameters)
        return _with_shape(facts, known.config, name)
    return _from_hub(name, revision)


def _from_folder(name: str, folder: Path) -> ModelFacts:
    config_file = folder / hub.CONFIG
    if not config_file.is_file():
        raise ModelUnreadableError(f"the folder `{name}` has no config.json")
    text = _config(config_file, f"{name}/{hub.CONFIG}")
    facts = ModelFacts(name, "folder", folder=folder)
    return _with_text(_with_tokenizer(facts, folder), text, f"{name}/{hub.CONFIG}")


def _from_snapshot(name: str, snapshot: hub.Snapshot) -> ModelFacts:
    """Read what the hub's libraries downloaded; of a tokenizer, all files or none are there."""
    text = _config(snapshot.folder / hub.CONFIG, f"{name}/{hub.CONFIG}")
    note = "config.json from the hub's cache on this machine"
    facts = ModelFacts(name, "hub", revision=snapshot.commit, note=note)
    facts = _with_tokenizer(facts, snapshot.folder)
    settings = (snapshot.folder / "tokenizer_config.json").is_file()
    facts = replace(facts, tokenizer_known=settings)
    facts = _with_text(facts, text, f"{name}/{hub.CONFIG}")
    known = catalogue.known_model(name)
    if facts.parameters is None and known and shape_of(known.config, name) == facts.shape:
        facts = replace(facts, parameters=known.parameters)
    return facts


def _from_hub(name: str, revision: str | None) -> ModelFacts:
    tried = "not in the catalogue, no local folder, not in the hub's cache on this machine"
    try:
        answer = hub.fetch(name, revision)
    except hub.HubSilentError as error:
        return ModelFacts(name, "unknown", note=f"{tried}; {error}")
    shown = f"{name}/{hub.CONFIG}"
    facts = ModelFacts(
        name, "hub", revision=answer.commit, note="config.json from the hub, asked just now"
    )
    return _with_text(facts, answer.content, shown)


def _from_gguf(name: str, path: Path) -> ModelFacts:
    from ftspec.compiler.facts.gguf import read_header
    from ftspec.compiler.facts.gguf_config import config_of, names_of, parameters_of

    if not path.is_file():
        raise ModelUnreadableError(f"there is no file `{name}`")
    header = read_header(path, name)
    config = config_of(header, name)
    template = header.values.get("tokenizer.chat_template")
    facts = ModelFacts(
        name,
        "gguf",
        parameters=parameters_of(header, config),
        chat_template=template if isinstance(template, str) else None,
        tokenizer_known=True,
        tensor_types=header.type_counts(),
    )
    try:
        facts = _with_shape(facts, config, name)
    except ModelUnreadableError as error:
        raise error.renamed(names_of(header)) from error
    counted, formula = facts.parameters or 0, facts.shape.parameters if facts.shape else 0
    if formula and abs(counted - formula) > GGUF_TOLERANCE * formula:
        raise ModelUnreadableError(
            f"`{name}` contradicts itself: its keys describe {formula:,} parameters, "
            f"its tensors hold {counted:,}"
        )
    return facts


def _with_text(facts: ModelFacts, text: bytes, shown: str) -> ModelFacts:
    """Add what the text of a config.json says; its faults get their places."""
    doubled: list[Fault] = []
    config = parsed(text, shown, doubled)
    try:
        facts = _with_shape(facts, config, shown)
    except ModelUnreadableError as error:
        raise error.placed(text.decode("utf-8"), doubled) from error
    if doubled:
        raise refusal(doubled, shown)
    return facts


def _with_shape(facts: ModelFacts, config: Mapping[str, Any], shown: str) -> ModelFacts:
    """Add what a config says; an unknown family may lack widths, and then has no shape."""
    quantization = config.get("quantization_config")
    method = quantization.get("quant_method") if isinstance(quantization, dict) else None
    facts = replace(facts, config=config, quantized=method if isinstance(method, str) else None)
    try:
        shape = shape_of(config, shown)
    except MissingKeyError as error:
        kind = text_config(config).get("model_type")
        if not isinstance(kind, str) or kind in ARCHITECTURES:
            raise
        return replace(facts, note=f"the architecture {kind} is not known here: {error}")
    note = facts.note
    whole = text_config(config) is config  # else there is more to the model than its text part
    if not whole and facts.parameters is None:
        note = f"{note}; " if note else ""
        note += f"the parameters around the {shape.architecture} in `text_config` are not counted"
    counted = shape.parameters if whole and shape.family is not None else None
    return replace(facts, shape=shape, parameters=facts.parameters or counted, note=note)


def _with_tokenizer(facts: ModelFacts, folder: Path) -> ModelFacts:
    """Add what the files of a tokenizer say, where they are in the folder."""
    tokenizer, settings_file = folder / "tokenizer.json", folder / "tokenizer_config.json"
    settings: dict[str, Any] = {}
    if settings_file.is_file():
        settings = _json(settings_file, f"{facts.name}/{settings_file.name}")
    special_file = folder / "special_tokens_map.json"
    if special_file.is_file():
        settings = {**_json(special_file, f"{facts.name}/{special_file.name}"), **settings}
    template_file = folder / "chat_template.jinja"
    template = settings.get("chat_template")
    if template_file.is_file():
        template = _text(template_file, f"{facts.name}/{template_file.name}")
    return replace(
        facts,
        tokenizer_file=tokenizer if tokenizer.is_file() else None,
        chat_template=template if isinstance(template, str) else None,
        tokenizer_known=tokenizer.is_file() or settings_file.is_file(),
        special_tokens=_special_tokens(settings),
    )


def _special_tokens(settings: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for key in ("bos_token", "eos_token", "pad_token", "unk_token"):
        value = settings.get(key)
        value = value.get("content") if isinstance(value, dict) else value
        if isinstance(value, str):
            found[key] = value
    if "eos_token" not in found and str(settings.get("tokenizer_class", "")).startswith("GPT2"):
        found["eos_token"] = "<|endoftext|>"  # the class's own default
    return found


def _config(path: Path, shown: str) -> bytes:
    try:
        size = path.stat().st_size
        if size > MOST_CONFIG:
            raise ModelUnreadableError(f"`{shown}` has {size:,} bytes, more than {MOST_CONFIG:,}")
        return path.read_bytes()
    except OSError as error:
        raise ModelUnreadableError(f"`{shown}` cannot be read: {error.strerror}") from error


def _json(path: Path, shown: str) -> dict[str, Any]:
    return parsed(_text(path, shown), shown)


def _text(path: Path, shown: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ModelUnreadableError(f"`{shown}` cannot be read: {error}") from error
