"""`ftspec models`: the table, what fits a text, and every fact of one model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from commands import Answer, Ftspec
from fakes import make_model

from ftspec.cli import app, models
from ftspec.compiler.facts.catalogue import known_ids, known_models

LLAMA = "meta-llama/Llama-3.1-8B"


@pytest.fixture(autouse=True)
def _offline(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(here / "cache"))
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture
def models_(ftspec_: Ftspec, monkeypatch: pytest.MonkeyPatch) -> Ftspec:
    """Run the verb, whether or not the command line lists it already."""
    verbs = {**app.VERBS, "models": ("models", "")}
    monkeypatch.setattr(app, "VERBS", verbs)

    def call(*arguments: object) -> Answer:
        return ftspec_("models", *arguments)

    return call


def test_the_verb_is_a_command() -> None:
    assert isinstance(models.models, click.Command)


def test_all_are_listed(models_: Ftspec) -> None:
    lines = models_().out.splitlines()
    ids = [line.split()[0] for line in lines[1 : len(known_models()) + 1]]
    assert lines[0].split()[:3] == ["model", "parameters", "published"]
    assert ids == [model.id for model in known_models()]
    assert f"{len(ids)} shapes, {len(known_ids())} names" in lines
    assert lines[-1] == f"next: ftspec models {ids[0]}"


def test_a_text_names_those_that_it_fits(models_: Ftspec) -> None:
    answer = models_("mixtral 8x7b", "--json")
    (row,) = answer.json["models"]
    assert answer.json["schema_version"] == 1 and row["id"] == "mistralai/Mixtral-8x7B-v0.1"
    assert (row["parameters"], row["active_parameters"]) == (46_702_792_704, 12_879_925_248)
    assert (row["experts"], row["experts_per_token"], row["layers"]) == (8, 2, 32)
    assert (row["hidden"], row["positions"], row["published"]) == (4096, 32768, "46.7B")
    found = [row["id"] for row in models_("zephyr", "--json").json["models"]]
    assert "mistralai/Mistral-7B-v0.1" in found  # by an alias
    families = {row["architecture"] for row in models_("gpt_neox", "--json").json["models"]}
    assert families == {"gpt_neox"}


def test_a_narrow_terminal_shows_less(models_: Ftspec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    lines = models_("olmoe").out.splitlines()
    assert all(len(line) <= 60 for line in lines[:2]) and "heads" not in lines[0]
    assert "6.92 B, 1.28 B active" in lines[1]


def test_one_model_has_its_facts_and_their_sources(models_: Ftspec) -> None:
    out = models_(LLAMA.upper() + "-instruct").out
    facts = {line[2:23].strip(): line[23:].split("  ") for line in out.splitlines()[1:-2]}
    facts = {key: [word.strip() for word in words if word.strip()] for key, words in facts.items()}
    assert facts["same shape as"] == [LLAMA]
    assert facts["parameters"][0] == "8,030,261,248"
    assert facts["layers"] == ["32", "num_hidden_layers"]
    assert facts["head width"] == ["128", "not said: what transformers 5.23 takes"]
    assert facts["published size"] == ["8.03B", "its authors"]
    assert "q_proj, k_proj, v_proj, o_proj" in facts["LoRA on attention"]
    assert out.splitlines()[-1].endswith("then ftspec check SPEC")


def test_one_model_for_programs(models_: Ftspec) -> None:
    model = models_(LLAMA, "--json").json["model"]
    assert model["shape"]["hidden"] == 4096 and model["source"] == "catalogue"
    assert model["config"]["model_type"] == "llama" and model["modules"]["q_proj"] == "q"
    assert LLAMA not in model["aliases"] and model["checked"]


def test_experts_are_shown(models_: Ftspec) -> None:
    out = models_("deepseek-ai/DeepSeek-V2-Lite").out
    for words in ("active parameters", "2,661,150,208", "experts a token", "n_shared_experts"):
        assert words in out


def test_a_folder_is_read(models_: Ftspec, here: Path) -> None:
    make_model(here / "tiny")
    out = models_("tiny").out
    assert "its config.json" in out and "by formula from the widths" in out
    assert "tokenizer.json" in out
    model = models_("./tiny", "--json").json["model"]
    assert model["source"] == "folder" and model["parameters"] == 86_336


def test_a_language_model_inside_another_says_so(models_: Ftspec) -> None:
    out = models_("google/gemma-3-4b-it").out
    assert "inside" in out and "what else is in it is loaded as well" in out


def test_an_unknown_name_has_near_ones(models_: Ftspec) -> None:
    answer = models_("mistralai/Mistral-7b-v3.0")
    assert (answer.code, answer.out) == (2, "")
    assert "`mistralai/Mistral-7B-v0.3`" in answer.err
    assert "HF_HUB_OFFLINE is set" in answer.err


@pytest.mark.parametrize("text", ["./nowhere", "nowhere.gguf", "a/b/c"])
def test_what_is_not_there_is_a_fault_of_the_call(text: str, models_: Ftspec) -> None:
    answer = models_(text)
    assert answer.code == 2 and "there is no" in answer.err


@pytest.mark.parametrize("text", ["", " ", "\0", "x" * 5000, "~nobody/x", "{}[]"])
def test_no_text_makes_a_traceback(text: str, models_: Ftspec) -> None:
    answer = models_(text)
    assert answer.code in (0, 2) and "fault of ftspec" not in answer.err


def test_a_config_that_lies_is_told(models_: Ftspec, here: Path) -> None:
    folder = make_model(here / "tiny")
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_size": -64}))
    answer = models_("tiny")
    assert answer.code == 2 and "`tiny/config.json`: `hidden_size` is -64" in answer.err
