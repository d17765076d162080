"""Facts of models: shapes against transformers, configs that lie, folders, the hub, GGUF."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from world import LLAMA, write_model

from ftspec.compiler.facts import catalogue
from ftspec.compiler.facts.architectures import ARCHITECTURES
from ftspec.compiler.facts.catalogue import known_config, known_ids, known_parameters
from ftspec.compiler.facts.model import ModelUnreadableError, resolve_model, shape_of

# Its embeddings are half as wide as its blocks, with projections between: alone among all.
ODD = "facebook/opt-350m"
SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 128,
    "max_position_embeddings": 32,
}
WITH_FFN = SMALL | {"intermediate_size": 96}
CONFIGS: list[dict[str, Any]] = [
    {"model_type": "llama", **WITH_FFN},
    {"model_type": "llama", **WITH_FFN, "num_key_value_heads": 2, "head_dim": 24},
    {"model_type": "llama", **WITH_FFN, "attention_bias": True, "mlp_bias": True},
    {"model_type": "llama", **WITH_FFN, "tie_word_embeddings": True},
    {"model_type": "mistral", **WITH_FFN, "num_key_value_heads": 2, "head_dim": 16},
    {"model_type": "qwen2", **WITH_FFN, "num_key_value_heads": 2},
    {"model_type": "qwen3", **WITH_FFN, "num_key_value_heads": 2},
    {"model_type": "qwen3", **WITH_FFN, "num_key_value_heads": 4, "attention_bias": True},
    {"model_type": "gemma", **WITH_FFN, "num_key_value_heads": 1},
    {"model_type": "gemma2", **WITH_FFN, "num_key_value_heads": 2},
    {"model_type": "gemma3_text", **WITH_FFN, "num_key_value_heads": 2, "head_dim": 32},
    {"model_type": "olmo2", **WITH_FFN, "num_key_value_heads": 2},
    {"model_type": "granite", **WITH_FFN, "num_key_value_heads": 4, "mlp_bias": True},
    {"model_type": "smollm3", **WITH_FFN, "num_key_value_heads": 2, "pad_token_id": 0},
    {"model_type": "stablelm", **WITH_FFN, "num_key_value_heads": 2, "use_qkv_bias": True},
    {"model_type": "phi3", **WITH_FFN, "num_key_value_heads": 2, "pad_token_id": 0},
    {"model_type": "phi", **WITH_FFN},
    {
        "model_type": "gpt2",
        "n_embd": 64,
        "n_layer": 2,
        "n_head": 4,
        "vocab_size": 128,
        "n_positions": 32,
    },
    {
        "model_type": "gpt2",
        "n_embd": 64,
        "n_layer": 1,
        "n_head": 2,
        "vocab_size": 99,
        "n_inner": 80,
    },
    {"model_type": "opt", **SMALL, "ffn_dim": 96, "word_embed_proj_dim": 64},
    {"model_type": "opt", **SMALL, "ffn_dim": 96, "word_embed_proj_dim": 64, "enable_bias": False},
    {"model_type": "gpt_neox", **WITH_FFN},
    {"model_type": "gpt_neox", **WITH_FFN, "attention_bias": False},
    {"model_type": "falcon", **SMALL},
    {"model_type": "falcon", **SMALL, "multi_query": False, "parallel_attn": False, "bias": True},
    {"model_type": "falcon", **SMALL, "new_decoder_architecture": True, "num_kv_heads": 2},
    {"model_type": "bloom", "hidden_size": 64, "n_layer": 2, "n_head": 4, "vocab_size": 128},
]


@pytest.mark.parametrize("hub_id", catalogue._rows())
def test_the_formula_counts_what_the_catalogue_counts(hub_id: str) -> None:
    config = known_config(hub_id)
    assert config is not None
    shape = shape_of(config, hub_id)
    if shape.family is None or shape.experts or hub_id == ODD:
        return
    assert shape.parameters == known_parameters(hub_id)


def test_every_architecture_has_a_config_here() -> None:
    named = {config["model_type"] for config in CONFIGS}
    assert named <= set(ARCHITECTURES)
    assert {kind for kind in ARCHITECTURES if covers_the_mlp(kind)} == named


def covers_the_mlp(kind: str) -> bool:
    """Of mixtures of experts, only attention is made of linear layers."""
    return "d" in "".join(ARCHITECTURES[kind].modules.values())


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config["model_type"])
def test_the_formula_counts_what_transformers_builds(config: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch", reason="torch builds the model on its meta device")
    transformers = pytest.importorskip("transformers", reason="transformers builds the model")
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(
            transformers.AutoConfig.for_model(**config)
        )
    shape = shape_of(config, "config.json")
    assert shape.parameters == sum(weight.numel() for weight in model.parameters())
    linears = {
        name: module
        for name, module in model.named_modules()
        if ".0." in name and type(module).__name__.endswith(("Linear", "Conv1D"))
    }
    found = set()
    for name, inputs, outputs in shape.linears():
        (module,) = [m for path, m in linears.items() if path.endswith("." + name)]
        sizes = tuple(module.weight.shape)
        conv = type(module).__name__ == "Conv1D"
        assert sizes == ((inputs, outputs) if conv else (outputs, inputs)), name
        assert shape.family is not None and shape.family.conv1d is conv
        found.add(module)
    assert found == set(linears.values()), "every linear layer of a block is named"


@pytest.mark.parametrize("hub_id", known_ids())
def test_every_known_model_resolves(hub_id: str, tmp_path: Path) -> None:
    facts = resolve_model(hub_id, tmp_path)
    assert facts.source == "catalogue" and not facts.local
    assert facts.parameters == known_parameters(hub_id)
    assert facts.shape is not None and facts.shape.positions > 0


def test_a_folder_wins_over_the_catalogue(tmp_path: Path) -> None:
    write_model(tmp_path / "gpt2", LLAMA)
    facts = resolve_model("gpt2", tmp_path)
    assert facts.source == "folder" and facts.folder == tmp_path / "gpt2"


def test_a_folder_with_a_config_alone_is_enough(tmp_path: Path) -> None:
    facts = resolve_model(str(write_model(tmp_path / "m", LLAMA)), tmp_path)
    assert facts.parameters
    assert (facts.tokenizer_file, facts.tokenizer_known, facts.chat_template) == (None, False, None)


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


def test_a_quantized_model_is_said_to_be_so(tmp_path: Path) -> None:
    write_model(tmp_path / "m", LLAMA | {"quantization_config": {"quant_method": "gptq"}})
    assert resolve_model("m", tmp_path).quantized == "gptq"


def test_text_models_inside_others_are_found() -> None:
    shape = shape_of({"model_type": "llava", "text_config": LLAMA}, "config.json")
    assert shape.hidden == 64 and shape.architecture == "llama"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": None}, "no `model_type`"),
        ({"model_type": 3}, "no `model_type`"),
        ({"model_type": "x\nimport os"}, "is no name"),
        ({"hidden_size": None}, "has no `hidden_size`"),
        ({"hidden_size": "64"}, "`hidden_size` is '64'"),
        ({"hidden_size": 64.0}, "`hidden_size` is 64.0"),
        ({"num_hidden_layers": True}, "`num_hidden_layers` is True"),
        ({"num_hidden_layers": 0}, "`num_hidden_layers` is 0"),
        ({"vocab_size": -5}, "`vocab_size` is -5"),
        ({"vocab_size": 2**40}, "`vocab_size` is"),
        ({"num_key_value_heads": 3}, "do not divide"),
    ],
)
def test_a_config_that_lies_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelUnreadableError, match=words):
        shape_of(LLAMA | change, "config.json")


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe{}", b'"x"', b"[" * 100_000])
def test_a_config_that_is_no_json_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_bytes(content)
    with pytest.raises(ModelUnreadableError, match="m/config.json"):
        resolve_model("m", tmp_path)


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
    assert facts.source == "unknown" and facts.shape is None and facts.note


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)


@given(st.dictionaries(st.sampled_from([*LLAMA, "text_config", "head_dim", "n_embd"]), values))
@settings(max_examples=150, deadline=None)
def test_any_config_gives_a_shape_or_a_reason(change: dict[str, Any]) -> None:
    try:
        shape = shape_of(LLAMA | change, "config.json")
    except ModelUnreadableError as error:
        assert "config.json" in str(error)
    else:
        assert shape.parameters >= 0 and shape.head_dim >= 1


@pytest.mark.parametrize("tied", [True, False])
def test_gguf(tied: bool, tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf", reason="gguf reads the header")
    numpy = pytest.importorskip("numpy", reason="numpy holds the tensors")
    writer = gguf.GGUFWriter(str(tmp_path / "m.gguf"), "llama")
    writer.add_block_count(1)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_context_length(128)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"t{number}" for number in range(50)])
    writer.add_chat_template("{{ messages }}")
    writer.add_tensor("token_embd.weight", numpy.zeros((50, 64), dtype=numpy.float32))
    writer.add_tensor("rope_freqs.weight", numpy.zeros(8, dtype=numpy.float32))
    if not tied:
        writer.add_tensor("output.weight", numpy.zeros((50, 64), dtype=numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    facts = resolve_model("m.gguf", tmp_path)
    assert facts.source == "gguf" and facts.local
    assert facts.shape is not None
    shape = facts.shape
    assert (shape.hidden, shape.ffn, shape.heads, shape.kv_heads) == (64, 96, 4, 2)
    assert (shape.vocab, shape.positions, shape.tied) == (50, 128, tied)
    assert facts.chat_template == "{{ messages }}" and facts.tokenizer_known
    assert facts.parameters == (1 if tied else 2) * 50 * 64


def test_what_only_ends_in_gguf_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("gguf", reason="gguf reads the header")
    (tmp_path / "m.gguf").write_bytes(b"not a model")
    with pytest.raises(ModelUnreadableError, match="is not a GGUF file"):
        resolve_model("m.gguf", tmp_path)
