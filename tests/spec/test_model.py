"""The model: every key described, strict, frozen, and closed to unknown keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from ftspec.spec import model
from ftspec.spec.finding import Severity
from ftspec.spec.parse import parse
from ftspec.spec.rules.shape.unknown_key import SYNONYMS
from ftspec.spec.validate import keys_by_section

MINIMAL = {"model": {"name": "gpt2"}, "method": {"type": "lora"}}
SECTIONS = [
    section
    for section in vars(model).values()
    if isinstance(section, type) and issubclass(section, model.Section)
]


def fields() -> Iterator[Any]:
    for section in SECTIONS:
        for name, info in section.model_fields.items():
            yield pytest.param(info, id=f"{section.__name__}.{name}")


@pytest.mark.parametrize("info", list(fields()))
def test_every_field_is_described(info: Any) -> None:
    holds_a_section = isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)
    text = info.annotation.__doc__ if holds_a_section else info.description
    assert text
    assert text.rstrip().endswith(".")


@pytest.mark.parametrize("section", SECTIONS)
def test_sections_are_strict_frozen_and_closed(section: type[BaseModel]) -> None:
    assert section.__doc__
    config = section.model_config
    assert (config["extra"], config["frozen"], config["strict"]) == ("forbid", True, True)


def test_a_spec_cannot_be_changed() -> None:
    spec = model.Spec.model_validate(MINIMAL)
    with pytest.raises(ValidationError, match="frozen"):
        spec.train.epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize("section", sorted(set(keys_by_section()) - {""}))
def test_a_misspelt_key_is_refused_in_every_section(section: str) -> None:
    key = max(keys_by_section()[section], key=len)
    misspelt = key[:-2] + key[-1]
    nested: Any = {misspelt: 1}
    for part in reversed(section.split(".")):
        nested = {part: nested}
    spec = MINIMAL | {"data": {"train": "a.jsonl"}}
    spec |= {name: spec.get(name, {}) | value for name, value in nested.items()}
    lines = [f"{name}: {flow(value)}" for name, value in spec.items()]
    (finding,) = parse("\n".join(lines), "spec").findings
    assert finding.name == "unknown-key"
    assert finding.severity is Severity.ERROR
    assert finding.title == f"`{misspelt}` is not a key of `{section}`"
    assert finding.help == f"did you mean `{key}`?"


def flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    return str(value)


def test_a_misspelt_section_is_refused() -> None:
    (finding,) = parse("model: gpt2\nmethod: lora\ntrian: {epochs: 1}\n", "spec").findings
    assert (finding.name, finding.help) == ("unknown-key", "did you mean `train`?")


def test_a_key_in_capitals_is_refused_like_any_other() -> None:
    text = "model: gpt2\nmethod: {type: lora, R: 3}\nTrain: {EarlyStopping: 1}\n"
    titles = [item.title for item in parse(text, "spec").findings]
    assert titles == ["`R` is not a key of `method`", "`Train` is not a key of a spec"]


def test_every_synonym_names_a_key() -> None:
    known = {
        f"{section}.{key}" if section else key
        for section, keys in keys_by_section().items()
        for key in keys
    }
    assert set(SYNONYMS.values()) <= known


@pytest.mark.parametrize(
    ("line", "path", "value"),
    [
        ("data: a.jsonl", "data.train", ("a.jsonl",)),
        ("data: [a.jsonl, b.jsonl]", "data.train", ("a.jsonl", "b.jsonl")),
        ("data: {train: a, eval: 0.05}", "data.eval", "5%"),
        ("data: {train: a, eval: 12.5 %}", "data.eval", "12.5 %"),
        ("train: {epochs: auto}", "train.epochs", None),
        ("train: {epochs: }", "train.epochs", None),
        ("train: {warmup: 1}", "train.warmup", 1),
        ("train: {warmup: 0.1}", "train.warmup", 0.1),
        ("train: {early_stopping: true}", "train.early_stopping", model.EarlyStopping()),
        ("train: {early_stopping: false}", "train.early_stopping", False),
        (
            "train: {activation_checkpointing: selective}",
            "train.activation_checkpointing",
            "selective",
        ),
        ("train: {report_to: none}", "train.report_to", ()),
        ("train: {report_to: wandb}", "train.report_to", ("wandb",)),
        ("train: {learning_rate: 1}", "train.learning_rate", 1.0),
        ("train:", "train.epochs", None),
        ("hardware: auto", "hardware.gpu", None),
        ("hardware: rtx-4090", "hardware.gpu", "rtx-4090"),
        ("hardware: {vram_limit: 20GiB}", "hardware.vram_limit", 20 * 2**30),
        ("hardware: {vram_limit: 16 GB}", "hardware.vram_limit", 16 * 10**9),
        ("evaluate: auto", "evaluate", None),
        ("evaluate: bleu", "evaluate", ("bleu",)),
        ("tune: {allow: quantize}", "tune.allow", ("quantize",)),
        ("tune: {memory: off}", "tune.memory", "off"),
    ],
)
def test_values(line: str, path: str, value: Any) -> None:
    parsed = parse(f"model: gpt2\nmethod: lora\n{line}\n", "spec")
    assert parsed.findings == ()
    found: Any = parsed.spec
    for key in path.split("."):
        found = getattr(found, key)
    assert found == value
    assert type(found) is type(value)


GUIDE = """\
model: meta-llama/Llama-2-7b-hf
lora_r: 16
lora_alpha: 32
batch_size: 4
gradient_accumulation: 4
learning_rate: 2e-4
epochs: 3
use_4bit: true
"""


def test_the_guide_s_quick_reference_works_as_it_stands() -> None:
    parsed = parse(GUIDE, "spec")
    assert parsed.findings == ()
    assert parsed.flat
    spec = parsed.spec
    assert spec is not None
    assert (spec.method.type, spec.method.r, spec.method.alpha) == ("qlora", 16, 32)
    assert (spec.train.batch_size, spec.train.learning_rate, spec.train.epochs) == (4, 2e-4, 3)
    assert spec.data.train is None


def test_faulty_keys_do_not_hide_contradictions() -> None:
    text = "method: {type: full, r: 16, colour: 3}\ntrain: {epochs: 1, max_steps: 3, lr: 1}\n"
    found = {item.name for item in parse(text, "spec").findings}
    assert found == {
        "missing-key",
        "full-with-adapter-keys",
        "unknown-key",
        "epochs-and-max-steps",
    }


def test_a_section_with_a_faulty_value_is_not_judged_further() -> None:
    text = "model: gpt2\nmethod: {type: prompt, init: text, init_text: 3}\n"
    assert [item.name for item in parse(text, "spec").findings] == ["wrong-type"]
