"""The JSON Schema: whole, described, and at one with the parser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from strategies import specs

from ftspec.spec.canonical import FLAT_ROUTES
from ftspec.spec.model import Spec
from ftspec.spec.schema import json_schema

SCHEMA = json_schema()
FULL, FLAT = SCHEMA["anyOf"]

FINE = [
    "{model: gpt2, method: lora, data: a.jsonl}",
    "{model: gpt2, method: {type: qlora, r: 16}, data: {train: [a, b], eval: 5%}, hardware: auto}",
    "{model: {name: gpt2}, method: full, train: {early_stopping: true}, hardware: rtx-4090}",
    "{model: gpt2, method: lora, train: null, evaluate: bleu, tune: {allow: [quantize]}}",
    "{model: gpt2, lora_r: 16, use_4bit: true, learning_rate: 2.0e-4}",
    "{model: gpt2, epochs: 3, data: {train: a.jsonl}, output: out}",
    "{model: gpt2, method: {type: lora, r: auto, modules_to_save: none}}",
]
FAULTY = [
    "{model: gpt2}",
    "{method: lora}",
    "{model: gpt2, method: lorra}",
    "{model: gpt2, method: lora, learning_rate: 2.0e-4}",
    "{model: gpt2, method: {type: lora, rank: 3}}",
    "{model: gpt2, method: {type: lora, r: 0}}",
    "{model: gpt2, method: lora, train: {epochs: three}}",
    "{model: gpt2, lora_r: 16, train: {epochs: 3}}",
    "{model: gpt2, method: lora, hardware: {vram_limit: 20}}",
]


def objects(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if "properties" in node:
            yield node
        for value in node.values():
            yield from objects(value)
    elif isinstance(node, list):
        for item in node:
            yield from objects(item)


def test_it_is_the_same_at_every_call() -> None:
    assert json.dumps(json_schema()) == json.dumps(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_object_is_closed_and_every_key_described() -> None:
    for node in objects(SCHEMA):
        assert node["additionalProperties"] is False
        assert node["description"]
        for key, schema in node["properties"].items():
            assert schema.get("description"), key


def test_the_full_form_has_all_keys_and_the_short_forms() -> None:
    assert list(FULL["properties"]) == list(Spec.model_fields)
    assert FULL["required"] == ["model", "method"]
    for key in ("model", "method", "data", "hardware"):
        short, section, *_ = FULL["properties"][key]["anyOf"]
        assert section["$ref"].startswith("#/$defs/")
        assert "$ref" not in short
    assert "rslora" in SCHEMA["$defs"]["Method"]["properties"]


def test_the_flat_form_has_the_guide_s_keys() -> None:
    assert set(FLAT_ROUTES) <= set(FLAT["properties"])
    assert not {"method", "train", "tune"} & set(FLAT["properties"])


def test_every_reference_leads_somewhere() -> None:
    text = json.dumps(SCHEMA)
    for name in SCHEMA["$defs"]:
        assert f'"#/$defs/{name}"' in text
    assert text.count('"$ref"') == text.count('"#/$defs/')


@pytest.mark.parametrize("text", FINE)
def test_what_is_fine(text: str) -> None:
    pytest.importorskip("jsonschema").validate(yaml.safe_load(text), SCHEMA)


@pytest.mark.parametrize("text", FAULTY)
def test_what_is_not(text: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), SCHEMA)


@given(specs())
@settings(max_examples=50, deadline=None)
def test_valid_specs_are_valid(spec: dict[str, Any]) -> None:
    pytest.importorskip("jsonschema").validate(spec, SCHEMA)
