"""`ftspec models`: the catalogue of models, and every fact of one with its source."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ftspec.cli.failure import CannotReadError
from ftspec.cli.output import command, print_json, width
from ftspec.cli.paint import painter
from ftspec.cli.words import NothingFitsError, rows_of_words
from ftspec.compiler.facts.architecture import Mixture
from ftspec.compiler.facts.catalogue import (
    TABLES,
    KnownModel,
    known_model,
    known_models,
    nearest_ids,
)
from ftspec.compiler.facts.config import text_config
from ftspec.compiler.facts.model import ModelFacts, ModelUnreadableError, resolve_model, shape_of
from ftspec.compiler.facts.shape import Shape

# Columns of the table with what each shows; on a narrow terminal the later ones give way first.
COLUMNS = (
    *("model", "parameters", "published", "architecture", "layers"),
    *("context", "width", "mlp", "heads"),
)
LEFT = ("model", "architecture")


@click.command()
@click.argument("text", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def models(text: tuple[str, ...], as_json: bool) -> int:
    """List the models whose shapes are known, those that TEXT fits, or all facts of one.

    TEXT is part of a name, or several; or a whole one: a hub id, a folder with a config.json, a
    GGUF file.
    """
    if not text:
        return _list(known_models(), as_json)
    name = " ".join(text)
    several = [model for word in text if (model := known_model(word))]
    if 1 < len(text) == len(several):
        return _list(several, as_json)
    if known_model(name) is None and not _is_path(name):
        try:
            return _list(rows_of_words(name, _fitting), as_json)
        except NothingFitsError as error:
            if len(text) > 1:
                raise click.UsageError(f"No model `{error.text}`.{_near(error.text)}") from None
    return _one(name, as_json)


def _one(name: str, as_json: bool) -> int:
    """Show all facts of one model."""
    try:
        facts = resolve_model(name, Path())
    except ModelUnreadableError as error:
        raise CannotReadError(error.lines) from error
    except (OSError, RuntimeError, ValueError) as error:
        raise CannotReadError(str(error)) from error
    if facts.source == "unknown":
        raise click.UsageError(f"No model `{name}`: {facts.note}.{_near(name)}")
    known = known_model(name) if facts.source in ("catalogue", "hub") else None
    if as_json:
        print_json({"schema_version": 1, "model": _document(facts, known)})
    else:
        _show(facts, known)
    return 0


def _near(text: str) -> str:
    near = nearest_ids(text[:200])
    return f" Did you mean {' or '.join(f'`{name}`' for name in near)}?" if near else ""


def _is_path(text: str) -> bool:
    looks_like = text.startswith((".", "/", "~")) or text.lower().endswith(".gguf")
    return looks_like or os.path.isdir(text)


def _fits(model: KnownModel, text: str) -> bool:
    """Say whether each word of a text is part of one of a model's names, or its family."""
    names = (model.id, *model.aliases, str(text_config(model.config)["model_type"]))
    words = text.casefold().split()
    return any(all(word in name.casefold() for word in words) for name in names)


def _fitting(name: str) -> list[KnownModel]:
    """Return the model of a whole name, else those that a part of one fits."""
    whole = known_model(name)
    return [whole] if whole else [model for model in known_models() if _fits(model, name)]


def _list(found: Sequence[KnownModel], as_json: bool) -> int:
    shapes = [shape_of(model.config, model.id) for model in found]
    if as_json:
        rows = [_row(model, shape) for model, shape in zip(found, shapes, strict=True)]
        print_json({"schema_version": 1, "models": rows})
        return 0
    table = [_cells(model, shape) for model, shape in zip(found, shapes, strict=True)]
    for line in _table_lines(table, width()):
        print(line)
    names = sum(1 + len(model.aliases) for model in found)
    print(f"\n{_words(len(found), 'shape')}, {_words(names, 'name')}")
    print(f"next: {command('models', found[0].id)}")
    return 0


def _row(model: KnownModel, shape: Shape) -> dict[str, Any]:
    numbers = asdict(shape)
    numbers.pop("latent")
    return {
        "id": model.id,
        "aliases": list(model.aliases),
        "published": model.published,
        "parameters": model.parameters,
        "active_parameters": _active(model.parameters, shape),
        "checked": list(model.checked),
        **numbers,
    }


def _active(parameters: int, shape: Shape) -> int:
    return parameters - shape.parameters + shape.active_parameters


def _cells(model: KnownModel, shape: Shape) -> dict[str, str]:
    count = short(model.parameters)
    if shape.experts:
        count += f", {short(_active(model.parameters, shape))} active"
    return {
        "model": model.id,
        "architecture": shape.architecture,
        "parameters": count,
        "published": model.published,
        "layers": str(shape.layers),
        "context": f"{shape.positions:,}",
        "width": f"{shape.hidden:,}",
        "mlp": f"{shape.expert_ffn or shape.ffn:,}",
        "heads": f"{shape.heads}/{shape.kv_heads} x {shape.head_dim}",
    }


def _table_lines(rows: Sequence[dict[str, str]], room: int) -> Iterator[str]:
    sizes = {name: max(len(name), *(len(row[name]) for row in rows)) for name in COLUMNS}
    columns = list(COLUMNS)
    while len(columns) > 2 and sum(sizes[name] + 2 for name in columns) - 2 > room:
        columns.pop()
    paint = painter(sys.stdout)
    for number, row in enumerate([{name: name for name in COLUMNS}, *rows]):
        cells = [
            row[name].ljust(sizes[name]) if name in LEFT else row[name].rjust(sizes[name])
            for name in columns
        ]
        line = "  ".join(cells).rstrip()
        yield line if number else paint(line, "bold")


def short(count: int) -> str:
    """Return a count of parameters in three figures: `8.03 B`."""
    for unit, size in (("T", 10**12), ("B", 10**9), ("M", 10**6)):
        if count >= size:
            value = count / size
            return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"
    return f"{count:,}"


def _words(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _show(facts: ModelFacts, known: KnownModel | None) -> None:
    paint = painter(sys.stdout)
    print(paint(facts.name, "bold"))
    lines = list(fact_lines(facts, known))
    name_size = max(len(name) for name, _, _ in lines)
    value_size = min(36, max(len(value) for _, value, _ in lines))
    for name, value, source in lines:
        shown = f"  {name:<{name_size}}  {value:<{value_size}}"
        print(f"{shown}  {paint(source, 'dim')}".rstrip() if source else shown.rstrip())
    print(f"\nnext: write `model: {facts.name}` into a spec, then {command('check')} SPEC")


def fact_lines(facts: ModelFacts, known: KnownModel | None) -> Iterator[tuple[str, str, str]]:
    """Yield (what, value, source) for each fact of a model."""
    found = {
        "folder": "its config.json",
        "gguf": "its header",
        "catalogue": known.source if known else "",
        "hub": facts.note,
    }
    yield "found in", facts.source, found.get(facts.source, facts.note)
    if facts.revision:
        yield "commit", facts.revision, ""
    if known and known.id.casefold() != facts.name.casefold():
        yield "same shape as", known.id, ""
    if known and facts.source == "catalogue":
        yield "published size", known.published, "its authors"
        for table in known.checked:
            yield "widths agree with", table, TABLES[table]
    if facts.parameters is not None:
        yield "parameters", f"{facts.parameters:,}", _count_source(facts)
    if facts.active_parameters != facts.parameters and facts.active_parameters is not None:
        yield "active parameters", f"{facts.active_parameters:,}", "those a token passes through"
    if facts.quantized:
        yield "quantized by", facts.quantized, "quantization_config"
    for kind, count in (facts.tensor_types or {}).items():
        yield f"tensors of {kind}", str(count), "its list of tensors"
    if facts.shape is not None and facts.config is not None:
        yield from _shape_lines(facts.shape, facts.config)
    if facts.tokenizer_file is not None:
        yield "tokenizer", facts.tokenizer_file.name, str(facts.tokenizer_file.parent)
    if facts.note and facts.source != "hub":
        yield "note", facts.note, ""


def _count_source(facts: ModelFacts) -> str:
    if facts.source == "gguf":
        return "its tensors, without rotary tables"
    if facts.source == "catalogue":
        return "what transformers 5.23 builds, tied weights once"
    return "by formula from the widths, tied weights once"


class _Sources:
    """Names the key of a config.json that said something, and keeps which were named."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        self.told = {"architectures", "model_type", "text_config", "vision_config"}

    def __call__(self, *names: str) -> str:
        self.told.update(names)
        there = next((name for name in names if self.config.get(name) is not None), None)
        return there or "not said: what transformers 5.23 takes"

    def rest(self) -> Iterator[tuple[str, str, str]]:
        """Yield the keys that were not named, but for long ones."""
        for key in sorted(set(self.config) - self.told):
            shown = str(self.config[key])
            if not isinstance(self.config[key], dict) and len(shown) <= 100:
                yield key, shown, "as it stands"


def _shape_lines(shape: Shape, config: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield the widths with the keys that said them, and the other keys as they stand."""
    source = _Sources(text_config(config))
    yield "architecture", shape.architecture, "model_type"
    if source.config is not config:
        outer = str(config.get("model_type"))
        yield "inside", outer, "model_type; what else is in it is loaded as well"
    for what, value, names in (
        ("layers", shape.layers, ("num_hidden_layers", "n_layer", "n_layers", "num_layers")),
        ("width", shape.hidden, ("hidden_size", "n_embd", "d_model", "n_embed")),
        ("MLP width", shape.ffn, ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size")),
        ("heads", shape.heads, ("num_attention_heads", "n_head", "n_heads", "num_heads")),
        ("key heads", shape.kv_heads, ("num_key_value_heads", "num_kv_heads", "multi_query")),
        ("head width", shape.head_dim, ("head_dim", "qk_nope_head_dim")),
        ("vocabulary", shape.vocab, ("vocab_size",)),
        ("context", shape.positions, ("max_position_embeddings", "n_positions", "max_seq_len")),
    ):
        yield what, f"{value:,}", source(*names)
    tied = "one matrix, tied" if shape.tied else "two matrices"
    yield "embeddings and head", tied, source("tie_word_embeddings")
    family = shape.family
    if family is not None and family.mixture is not None:
        yield from _mixture_lines(shape, family.mixture, source)
    for preset in ("attention", "all-linear") if family is not None else ():
        targets = ", ".join(family.targets(preset)) if family else ""
        yield f"LoRA on {preset}", targets, "the names in transformers 5.23"
    yield from source.rest()


def _mixture_lines(
    shape: Shape, mixture: Mixture, source: _Sources
) -> Iterator[tuple[str, str, str]]:
    yield "experts", f"{shape.experts:,}", source(*mixture.count)
    yield "experts a token", f"{shape.experts_per_token:,}", source(*mixture.per_token)
    yield "expert width", f"{shape.expert_ffn:,}", source(*mixture.width)
    if shape.shared_ffn:
        shared = source(mixture.shared_width or mixture.shared_count)
        yield "shared width", f"{shape.shared_ffn:,}", shared
    yield "layers without experts", f"{shape.dense_layers:,}", ""


def _document(facts: ModelFacts, known: KnownModel | None) -> dict[str, Any]:
    """Return all facts of one model for programs."""
    shape = facts.shape
    return {
        "id": facts.name,
        "source": facts.source,
        "revision": facts.revision,
        "note": facts.note,
        "aliases": list(known.aliases) if known else [],
        "published": known.published if known else None,
        "checked": list(known.checked) if known else [],
        "parameters": facts.parameters,
        "active_parameters": facts.active_parameters,
        "quantized": facts.quantized,
        "tensor_types": dict(facts.tensor_types) if facts.tensor_types else None,
        "tokenizer_file": str(facts.tokenizer_file) if facts.tokenizer_file else None,
        "shape": asdict(shape) if shape else None,
        "modules": dict(shape.family.modules) if shape and shape.family else None,
        "config": dict(facts.config) if facts.config is not None else None,
    }
