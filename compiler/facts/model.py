"""Facts of a model: its shape, its tokenizer, its limits; from a folder, a catalogue or the hub."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftspec.compiler.facts import catalogue
from ftspec.compiler.facts.architectures import ARCHITECTURES, Architecture

# What transformers 5.23 takes where a config.json does not say (`configuration_*.py`).
TIED = ("gemma", "gemma2", "gemma3_text", "smollm3", "gpt2", "opt", "falcon", "bloom")
HEAD_DIMS = {"qwen3": 128, "gemma": 256, "gemma2": 256, "gemma3_text": 256}
# Keys that say whether projections have a bias: key, the architectures that read it, which.
BIAS_KEYS = (
    (
        "attention_bias",
        ("llama", "qwen3", "gemma", "gemma2", "gemma3_text", "olmo2", "granite", "smollm3")
        + ("gpt_neox",),
        "qkvo",
    ),
    ("mlp_bias", ("llama", "granite", "smollm3"), "gud"),
    ("use_qkv_bias", ("stablelm",), "qkv"),
    ("enable_bias", ("opt",), "qkvogud"),
    ("bias", ("falcon",), "qkvogud"),
)


class ModelUnreadableError(Exception):
    """The model's config cannot be read; the message says which file and why."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The widths of a decoder: everything that its memory depends on.

    hidden, ffn, vocab: widths; heads, kv_heads, head_dim: attention; layers: blocks;
    positions: the longest sequence; biases: the projections that have one, by their letters in
    `architectures`; norm_weights: vectors in a block's norms.
    """

    architecture: str
    layers: int
    hidden: int
    ffn: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    tied: bool
    positions: int
    experts: int = 0
    biases: str = ""
    norm_weights: int = 2

    @property
    def family(self) -> Architecture | None:
        """What transformers calls this architecture's layers; None where it is not known here."""
        return ARCHITECTURES.get(self.architecture)

    @property
    def query_width(self) -> int:
        """Width of all query heads together."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Width of all key heads together; the values' is the same."""
        return self.kv_heads * self.head_dim

    def linears(self) -> Iterator[tuple[str, int, int]]:
        """Yield (module, inputs, outputs) for each linear layer of one block."""
        if self.family is None:
            return
        outputs = {"q": self.query_width, "k": self.kv_width, "v": self.kv_width}
        outputs |= {"o": self.hidden, "g": self.ffn, "u": self.ffn, "d": self.hidden}
        inputs = {"o": self.query_width, "d": self.ffn}
        for name, parts in self.family.modules.items():
            yield name, inputs.get(parts[0], self.hidden), sum(outputs[part] for part in parts)

    @property
    def block_parameters(self) -> int:
        """Parameters of one block."""
        family = self.family
        if family is None:
            return 0
        total = self.norm_weights * self.hidden
        for name, inputs, outputs in self.linears():
            biased = bool(set(family.modules[name]) & set(self.biases))
            total += (inputs + biased) * outputs
        if family.qk_norm == "width":
            return total + self.query_width + self.kv_width
        return total + (2 * self.head_dim if family.qk_norm else 0)

    @property
    def parameters(self) -> int:
        """All parameters by the formula above; the catalogue's exact count is preferred to it."""
        family = self.family
        if family is None:
            return 0
        total = self.layers * self.block_parameters + family.final_norm * self.hidden
        if family.learned_positions is not None:
            total += (self.positions + family.learned_positions) * self.hidden
        total += (1 if self.tied else 2) * self.vocab * self.hidden
        return total + (self.vocab if family.head_bias else 0)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of a model. `folder` is set for local models; `None` fields are unknown."""

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

    @property
    def local(self) -> bool:
        """Whether the model lies on this machine."""
        return self.folder is not None or self.source == "gguf"


def resolve_model(name: str, root: Path) -> ModelFacts:
    """Find out about the model `name`, as seen from the folder `root`.

    Raises ModelUnreadableError where there is a config that cannot be used.
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
    config = catalogue.known_config(name)
    if config is not None:
        shape = shape_of(config, name)
        return ModelFacts(
            name,
            "catalogue",
            shape,
            catalogue.known_parameters(name),
        )
    return ModelFacts(name, "unknown", note="not in the catalogue, and no local folder")


def _from_folder(name: str, folder: Path) -> ModelFacts:
    config_file = folder / "config.json"
    if not config_file.is_file():
        raise ModelUnreadableError(f"the folder `{name}` has no config.json")
    config = _json(config_file, f"{name}/config.json")
    shape = shape_of(config, f"{name}/config.json")
    tokenizer = folder / "tokenizer.json"
    settings_file = folder / "tokenizer_config.json"
    settings = (
        _json(settings_file, f"{name}/{settings_file.name}") if settings_file.is_file() else {}
    )
    special_file = folder / "special_tokens_map.json"
    if special_file.is_file():
        settings = {**_json(special_file, f"{name}/{special_file.name}"), **settings}
    template_file = folder / "chat_template.jinja"
    template = settings.get("chat_template")
    if template_file.is_file():
        template = _text(template_file, f"{name}/{template_file.name}")
    quantization = config.get("quantization_config")
    return ModelFacts(
        name,
        "folder",
        shape,
        shape.parameters if shape.family and not shape.experts else None,
        folder=folder,
        tokenizer_file=tokenizer if tokenizer.is_file() else None,
        chat_template=template if isinstance(template, str) else None,
        tokenizer_known=tokenizer.is_file() or settings_file.is_file(),
        special_tokens=_special_tokens(settings),
        quantized=quantization.get("quant_method") if isinstance(quantization, dict) else None,
    )


def _from_gguf(name: str, path: Path) -> ModelFacts:
    if not path.is_file():
        raise ModelUnreadableError(f"there is no file `{name}`")
    try:
        from gguf import GGUFReader
    except ImportError:
        note = "reading a GGUF header needs the package gguf: pip install gguf"
        return ModelFacts(name, "gguf", note=note)
    try:
        reader = GGUFReader(str(path))
        fields, sizes = reader.fields, {item.name: int(item.n_elements) for item in reader.tensors}
        values = {key: fields[key].contents() for key in fields if not key.startswith("tokenizer.")}
        words = fields.get("tokenizer.ggml.tokens")
        template = fields.get("tokenizer.chat_template")
    except Exception as error:  # the library raises many kinds on a file that is not GGUF
        raise ModelUnreadableError(
            f"`{name}` is not a GGUF file that can be read: {error}"
        ) from error
    config = gguf_config(values, len(words.data) if words else 0)
    config["tie_word_embeddings"] = "output.weight" not in sizes
    shape = shape_of(config, name)
    weights = sum(size for tensor, size in sizes.items() if not tensor.startswith("rope_freqs"))
    return ModelFacts(
        name,
        "gguf",
        shape,
        weights if shape.family and not shape.experts else None,
        chat_template=str(template.contents()) if template else None,
        tokenizer_known=True,
    )


def gguf_config(values: Mapping[str, Any], vocab: int) -> dict[str, Any]:
    """Translate the metadata of a GGUF header into the keys of a config.json.

    Source of the names: the GGUF specification, "Standardized key-value pairs".
    """
    architecture = str(values.get("general.architecture", ""))

    def value(key: str) -> Any:
        return values.get(f"{architecture}.{key}")

    heads = value("attention.head_count")
    return {
        "model_type": architecture,
        "num_hidden_layers": value("block_count"),
        "hidden_size": value("embedding_length"),
        "intermediate_size": value("feed_forward_length"),
        "num_attention_heads": heads,
        "num_key_value_heads": value("attention.head_count_kv") or heads,
        "head_dim": value("attention.key_length"),
        "vocab_size": value("vocab_size") or vocab,
        "max_position_embeddings": value("context_length"),
    }


def _json(path: Path, shown: str) -> dict[str, Any]:
    try:
        content = json.loads(_text(path, shown))
    except (RecursionError, ValueError) as error:
        raise ModelUnreadableError(f"`{shown}` cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ModelUnreadableError(f"`{shown}` is not a JSON object")
    return content


def _text(path: Path, shown: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ModelUnreadableError(f"`{shown}` cannot be read: {error}") from error


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


def shape_of(config: Mapping[str, Any], shown: str) -> Shape:
    """Read the widths out of a config.json.

    Raises ModelUnreadableError where a width is missing, not a number, or absurd.
    """
    nested = config.get("text_config")
    if isinstance(nested, dict) and "hidden_size" in nested:
        config = {**config, **nested}
    kind = config.get("model_type")
    if not isinstance(kind, str) or not kind:
        raise ModelUnreadableError(f"`{shown}` has no `model_type`")
    if not kind.isprintable() or len(kind) > 64:
        raise ModelUnreadableError(f"`{shown}`: `model_type` is no name: {kind[:64]!r}")

    def width(*names: str, default: int | None = None, least: int = 1) -> int:
        for name in names:
            value = config.get(name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 2**31:
                raise ModelUnreadableError(f"`{shown}`: `{name}` is {value!r}")
            return value
        if default is None:
            raise ModelUnreadableError(f"`{shown}` has no `{names[0]}`")
        return default

    hidden = width("hidden_size", "n_embd", "d_model")
    heads = width("num_attention_heads", "n_head")
    kv_heads = width("num_key_value_heads", "num_kv_heads", default=heads)
    if kind == "falcon" and not config.get("new_decoder_architecture"):
        kv_heads = 1 if config.get("multi_query", True) else heads
    if heads % kv_heads:
        raise ModelUnreadableError(
            f"`{shown}`: {heads} heads do not divide by {kv_heads} key heads"
        )
    return Shape(
        architecture=kind,
        layers=width("num_hidden_layers", "n_layer"),
        hidden=hidden,
        ffn=width("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", default=4 * hidden),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=width("head_dim", default=HEAD_DIMS.get(kind, max(1, hidden // heads))),
        vocab=width("vocab_size"),
        tied=bool(config.get("tie_word_embeddings", kind in TIED)),
        positions=width(
            "max_position_embeddings",
            "n_positions",
            "n_ctx",
            default=1024 if kind == "gpt2" else 2048,
        ),
        experts=width("num_local_experts", "num_experts", "n_routed_experts", default=0, least=0),
        biases=_biases(kind, config),
        norm_weights=_norm_weights(kind, config),
    )


def _biases(kind: str, config: Mapping[str, Any]) -> str:
    """Return the letters of the projections that have a bias: the family's, or as config says."""
    family = ARCHITECTURES.get(kind)
    letters = set(family.biases if family else "")
    for key, of_kinds, projections in BIAS_KEYS:
        if kind in of_kinds and key in config:
            letters = letters | set(projections) if config[key] else letters - set(projections)
    return "".join(sorted(letters))


def _norm_weights(kind: str, config: Mapping[str, Any]) -> int:
    """Return how many vectors the norms of a block have (falcon has one norm or two)."""
    family = ARCHITECTURES.get(kind)
    if kind == "falcon":
        parallel = config.get("parallel_attn", True)
        return 4 if config.get("new_decoder_architecture") or not parallel else 2
    return family.norm_weights if family else 2
