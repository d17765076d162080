"""The catalogue of models: ids, and each shape against transformers and the published size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ftspec.compiler.facts import catalogue
from ftspec.compiler.facts.catalogue import (
    TABLES,
    known_config,
    known_ids,
    known_model,
    known_models,
    known_parameters,
    nearest_ids,
)

ROWS: dict[str, dict[str, Any]] = json.loads(
    Path(catalogue.__file__).with_name("models.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("hub_id", ROWS)
def test_parameters_are_those_that_transformers_builds(hub_id: str) -> None:
    torch = pytest.importorskip("torch", reason="torch builds the model on its meta device")
    transformers = pytest.importorskip("transformers", reason="transformers builds the model")
    config = transformers.AutoConfig.for_model(**ROWS[hub_id]["config"])
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    # parameters() yields a tied weight once.
    assert sum(weight.numel() for weight in model.parameters()) == known_parameters(hub_id)
    assert type(model).__name__ == config.architectures[0]


@pytest.mark.parametrize("hub_id", ROWS)
def test_parameters_round_to_the_published_size(hub_id: str) -> None:
    published = ROWS[hub_id]["published"]
    digits, unit = published[:-1], {"M": 1e6, "B": 1e9}[published[-1]]
    decimals = len(digits.partition(".")[2])
    assert f"{ROWS[hub_id]['parameters'] / unit:.{decimals}f}" == digits


@pytest.mark.parametrize("hub_id", ROWS)
def test_an_entry_says_what_memory_needs(hub_id: str) -> None:
    row = ROWS[hub_id]
    assert row["source"]
    assert {"model_type", "architectures"} <= row["config"].keys()
    assert set(row.get("checked", ())) <= set(TABLES)
    for alias in row.get("aliases", ()):
        assert known_config(alias) == row["config"]


def test_most_widths_were_held_against_another_table() -> None:
    checked = [hub_id for hub_id, row in ROWS.items() if row.get("checked")]
    assert len(checked) >= 150
    assert {name for row in ROWS.values() for name in row.get("checked", ())} == set(TABLES)


# Where the public config.json says other than transformers takes by itself, and memory depends
# on it: dropouts (masks are kept), windows, caps, multipliers, activations in several steps.
TOLD = [
    ("mistralai/Mistral-7B-v0.1", {"sliding_window": 4096}),
    ("mistralai/Mistral-7B-v0.3", {"sliding_window": None}),
    ("google/gemma-2-9b", {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}),
    ("google/gemma-2-27b", {"query_pre_attn_scalar": 144, "head_dim": 128}),
    ("google/gemma-3-1b-it", {"sliding_window": 512}),
    ("microsoft/phi-2", {"resid_pdrop": 0.1, "hidden_act": "gelu_new"}),
    ("bigcode/starcoder2-3b", {"attention_dropout": 0.1, "residual_dropout": 0.1}),
    ("ibm-granite/granite-3.0-8b-instruct", {"residual_multiplier": 0.22}),
    ("EleutherAI/gpt-neox-20b", {"hidden_act": "gelu_fast"}),
    ("stabilityai/stablelm-2-12b", {"qk_layernorm": True, "use_parallel_residual": True}),
    ("Qwen/Qwen2.5-7B", {"layer_types": ["full_attention"] * 28}),
    ("openai/gpt-oss-20b", {"layer_types": ["sliding_attention", "full_attention"] * 12}),
    ("Qwen/Qwen3-30B-A3B", {"num_experts_per_tok": 8, "moe_intermediate_size": 768}),
    ("deepseek-ai/DeepSeek-V2-Lite", {"first_k_dense_replace": 1, "n_shared_experts": 2}),
]


@pytest.mark.parametrize(("hub_id", "expected"), TOLD, ids=[hub_id for hub_id, _ in TOLD])
def test_transformers_reads_what_memory_depends_on(hub_id: str, expected: dict[str, Any]) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers reads the config")
    config = transformers.AutoConfig.for_model(**(known_config(hub_id) or {}))
    assert {key: getattr(config, key) for key in expected} == expected


def test_an_entry_is_found_by_any_of_its_names() -> None:
    model = known_model(" huggingfaceh4/ZEPHYR-7b-beta ")
    assert model is not None and model.id == "mistralai/Mistral-7B-v0.1"
    assert model == known_model("mistralai/Mistral-7B-v0.1") and "litgpt" in model.checked
    assert [entry.id for entry in known_models()] == list(ROWS)
    assert known_model("nobody/nothing") is None


def test_an_id_stands_for_one_entry() -> None:
    ids = [hub_id.casefold() for hub_id in known_ids()]
    assert len(ROWS) >= 240
    assert len(set(ids)) == len(ids)


def test_ids_compare_without_regard_to_case() -> None:
    assert known_config("META-LLAMA/llama-2-7B-HF") == known_config("meta-llama/Llama-2-7b-hf")
    assert known_parameters("meta-llama/Llama-2-7b-chat-hf") == 6_738_415_616
    assert known_parameters("Qwen/Qwen2.5-0.5B-Instruct") == 494_032_768


def test_an_unknown_id_is_none() -> None:
    assert known_config("nobody/nothing-7b") is None
    assert known_parameters("nobody/nothing-7b") is None


def test_a_config_is_the_callers_own() -> None:
    config = known_config("gpt2")
    assert config is not None
    config["architectures"].append("changed")
    assert known_config("gpt2") != config


def test_a_near_miss_names_the_id_meant() -> None:
    assert nearest_ids("meta-llama/Llama-2-7b")[0] == "meta-llama/Llama-2-7b-hf"
    assert nearest_ids("Qwen/Qwen2.5-7B-Instuct")[0] == "Qwen/Qwen2.5-7B-Instruct"
    assert "mistralai/Mistral-7B-v0.1" in nearest_ids("mistral-7b-v0.1")
    assert len(nearest_ids("llama-2", count=2)) == 2
    assert nearest_ids("") == ()
