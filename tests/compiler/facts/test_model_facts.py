"""Facts of models: folders and their tokenizers, the catalogue, and what is not there."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from world import LLAMA, write_model

from ftspec.compiler.facts import catalogue
from ftspec.compiler.facts.catalogue import known_config, known_ids, known_parameters
from ftspec.compiler.facts.config import text_config
from ftspec.compiler.facts.model import (
    MOST_CONFIG,
    ModelUnreadableError,
    resolve_model,
    shape_of,
)


@pytest.fixture(autouse=True)
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("hub_id", catalogue._rows())
def test_the_formula_counts_what_the_catalogue_counts(hub_id: str) -> None:
    config = known_config(hub_id)
    assert config is not None
    shape = shape_of(config, hub_id)
    assert shape.family is not None
    if text_config(config) is config:  # else more than a language model is counted
        assert shape.parameters == known_parameters(hub_id)


@pytest.mark.parametrize("hub_id", known_ids())
def test_every_known_model_resolves(hub_id: str, tmp_path: Path) -> None:
    facts = resolve_model(hub_id, tmp_path)
    assert facts.source == "catalogue" and not facts.local
    assert facts.parameters == known_parameters(hub_id)
    assert facts.config == known_config(hub_id)
    assert facts.shape is not None and facts.shape.positions > 0
    active = facts.active_parameters
    assert active is not None and facts.parameters is not None
    assert active < facts.parameters if facts.shape.experts else active == facts.parameters


def test_a_folder_wins_over_the_catalogue(tmp_path: Path) -> None:
    write_model(tmp_path / "gpt2", LLAMA)
    facts = resolve_model("gpt2", tmp_path)
    assert facts.source == "folder" and facts.folder == tmp_path / "gpt2"


def test_a_folder_with_a_config_alone_is_enough(tmp_path: Path) -> None:
    facts = resolve_model(str(write_model(tmp_path / "m", LLAMA)), tmp_path)
    assert facts.shape is not None and facts.parameters == facts.shape.parameters
    assert (facts.tokenizer_file, facts.tokenizer_known, facts.chat_template) == (None, False, None)
    assert facts.config == LLAMA and facts.revision is None


def test_a_folder_with_a_tokenizer(world: Path) -> None:
    facts = resolve_model("llama", world)
    assert facts.tokenizer_file == world / "llama" / "tokenizer.json"
    assert facts.tokenizer_known and facts.chat_template
    assert facts.special_tokens == {"eos_token": "<|end|>"}


def test_a_template_file_wins_over_the_tokenizer_s_config(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", LLAMA)
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"chat_template": "old", "bos_token": {"content": "<s>"}, "pad_token": None})
    )
    (folder / "chat_template.jinja").write_text("new")
    facts = resolve_model("m", tmp_path)
    assert facts.chat_template == "new" and facts.special_tokens == {"bos_token": "<s>"}


def test_home_is_the_user_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_model(tmp_path / "m", LLAMA)
    assert resolve_model("~/m", Path("/nowhere")).source == "folder"


@pytest.mark.parametrize(("method", "said"), [("gptq", "gptq"), (3, None)])
def test_a_quantized_model_is_said_to_be_so(method: Any, said: str | None, tmp_path: Path) -> None:
    write_model(tmp_path / "m", LLAMA | {"quantization_config": {"quant_method": method}})
    assert resolve_model("m", tmp_path).quantized == said


def test_an_unknown_family_has_its_config_and_what_widths_it_has(tmp_path: Path) -> None:
    write_model(tmp_path / "m", LLAMA | {"model_type": "novel"})
    facts = resolve_model("m", tmp_path)
    assert facts.config == LLAMA | {"model_type": "novel"}
    assert facts.shape is not None and facts.shape.hidden == 64 and facts.parameters is None


def test_an_unknown_family_without_widths_has_its_config_alone(tmp_path: Path) -> None:
    write_model(tmp_path / "m", {"model_type": "mamba", "d_state": 16})
    facts = resolve_model("m", tmp_path)
    assert facts.config == {"model_type": "mamba", "d_state": 16}
    assert (facts.shape, facts.parameters) == (None, None)
    assert "the architecture mamba is not known here" in facts.note
    assert "`m/config.json` has no `num_hidden_layers`" in facts.note


def test_a_known_family_without_widths_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "m", {"model_type": "llama", "hidden_size": 64})
    with pytest.raises(ModelUnreadableError, match="`m/config.json` has no `num_hidden_layers`"):
        resolve_model("m", tmp_path)


def test_what_lies_around_a_language_model_is_not_counted(tmp_path: Path) -> None:
    config = {"model_type": "llava", "text_config": LLAMA, "vision_config": {"hidden_size": 32}}
    write_model(tmp_path / "m", config)
    facts = resolve_model("m", tmp_path)
    assert facts.config == config, "what builds the model is kept as it is"
    assert facts.shape is not None and facts.shape.architecture == "llama"
    assert facts.parameters is None
    assert "parameters around the llama in `text_config` are not counted" in facts.note


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe{}", b'"x"', b"[" * 100_000])
def test_a_config_that_is_no_json_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_bytes(content)
    with pytest.raises(ModelUnreadableError, match="m/config.json"):
        resolve_model("m", tmp_path)


def test_a_config_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_bytes(b" " * (MOST_CONFIG + 1))
    with pytest.raises(ModelUnreadableError, match="4,194,305 bytes, more than 4,194,304"):
        resolve_model("m", tmp_path)


def test_a_number_of_a_thousand_digits_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    text = json.dumps(LLAMA).replace('"hidden_size": 64', '"hidden_size": ' + "9" * 5000)
    (tmp_path / "m" / "config.json").write_text(text)
    with pytest.raises(ModelUnreadableError, match="m/config.json") as caught:
        resolve_model("m", tmp_path)
    assert len(str(caught.value)) < 300


keys = st.sampled_from([*LLAMA, "text_config", "quantization_config", "quant_method", "x"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=20,
)
outer = st.dictionaries(keys, json_values, max_size=6)


@given(st.sampled_from([{}, LLAMA, {"text_config": LLAMA}]), outer)
@settings(max_examples=200, deadline=None)
def test_any_config_in_a_folder_gives_facts_or_a_reason(
    base: dict[str, Any], change: dict[str, Any]
) -> None:
    with TemporaryDirectory() as folder:
        write_model(Path(folder) / "m", {"model_type": "novel"} | base | change)
        try:
            facts = resolve_model("m", Path(folder))
        except ModelUnreadableError as error:
            assert "m/config.json" in str(error) and "\n" not in str(error)
        else:
            assert facts.config is not None and (facts.shape is not None or facts.note)
            assert facts.parameters is None or facts.parameters > 0


def test_a_template_that_is_no_text_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", LLAMA)
    (folder / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(ModelUnreadableError, match="chat_template.jinja"):
        resolve_model("m", tmp_path)


@pytest.mark.parametrize("name", ["./m", "/no/where", "a/b/c", "x.gguf", "~/nowhere"])
def test_what_is_not_there_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelUnreadableError, match="there is no"):
        resolve_model(name, tmp_path)


def test_an_unknown_id_is_unknown(tmp_path: Path) -> None:
    facts = resolve_model("nobody/nothing", tmp_path)
    assert (facts.source, facts.shape, facts.config) == ("unknown", None, None)
    assert "not in the catalogue" in facts.note and "HF_HUB_OFFLINE is set" in facts.note
