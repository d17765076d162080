"""Broken config.json files and GGUF headers: each is a finding, none is a number or a traceback."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path
from typing import Any

import pytest
from gguf_file import Raw, decoder, gguf, text
from machines import gpu
from tiny import rows_of, write_rows
from world import LLAMA

from ftspec.compiler.facts.hardware import named
from ftspec.compiler.pipeline import Compiled, compile_spec
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.parse import parse

MIXTRAL = LLAMA | {"model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2}
A100 = named(gpu("a100"), 1)
SPEC = "model: {model}\nmethod: lora\ndata: {{train: train.jsonl, max_length: 64}}\n"


def check(folder: Path, model: str) -> Compiled:
    write_rows(folder / "train.jsonl", rows_of("alpaca", 40))
    parsed = parse(SPEC.format(model=model), "ftspec.yaml")
    return compile_spec(parsed, folder, A100, project=folder / "project")


def unreadable(folder: Path, content: str | bytes) -> list[Finding]:
    """Return what is said of a config.json; nothing else may come of it."""
    (folder / "m").mkdir(exist_ok=True)
    content = content.encode() if isinstance(content, str) else content
    (folder / "m" / "config.json").write_bytes(content)
    compiled = check(folder, "m")
    assert compiled.plan is None
    return [item for item in compiled.findings if item.name == "model-unreadable"]


# What is changed in a llama's config, and what the finding says.
CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"model_type": None}, "has no `model_type`"),
    ({"model_type": ""}, "`model_type` is '', not a name"),
    ({"model_type": 7}, "`model_type` is 7, not a name"),
    ({"model_type": "a\nb"}, "`model_type` is no name"),
    ({"hidden_size": None}, "has no `hidden_size`"),
    ({"hidden_size": 0}, "`hidden_size` is 0, not between 1 and 1,048,576"),
    ({"hidden_size": -64}, "`hidden_size` is -64, not between"),
    ({"hidden_size": "64"}, "`hidden_size` is '64', not a whole number"),
    ({"hidden_size": 64.0}, "`hidden_size` is 64.0, not a whole number"),
    ({"hidden_size": True}, "`hidden_size` is True, not a whole number"),
    ({"hidden_size": [64]}, "`hidden_size` is [64], not a whole number"),
    ({"hidden_size": {}}, "`hidden_size` is {}, not a whole number"),
    ({"hidden_size": float("nan")}, "`hidden_size` is nan, not a whole number"),
    ({"hidden_size": float("inf")}, "`hidden_size` is inf, not a whole number"),
    ({"hidden_size": 66}, "a hidden size of 66 does not divide by 4 heads"),
    ({"num_hidden_layers": None}, "has no `num_hidden_layers`"),
    ({"num_hidden_layers": 10**6}, "`num_hidden_layers` is 1,000,000, not between 1 and 1,000"),
    ({"num_hidden_layers": -1}, "`num_hidden_layers` is -1"),
    ({"num_attention_heads": None}, "has no `num_attention_heads`"),
    ({"num_attention_heads": 0}, "`num_attention_heads` is 0"),
    ({"num_attention_heads": 2**30}, "`num_attention_heads` is 1,073,741,824"),
    ({"num_key_value_heads": 3}, "4 heads do not divide by 3 key heads"),
    ({"num_key_value_heads": 8}, "4 heads do not divide by 8 key heads"),
    ({"num_key_value_heads": 0}, "`num_key_value_heads` is 0"),
    ({"num_key_value_heads": "2"}, "`num_key_value_heads` is '2'"),
    ({"intermediate_size": None}, "has no `intermediate_size`"),
    ({"intermediate_size": -1}, "`intermediate_size` is -1"),
    ({"vocab_size": None}, "has no `vocab_size`"),
    ({"vocab_size": 10**12}, "`vocab_size` is 1,000,000,000,000"),
    ({"vocab_size": 1e3}, "`vocab_size` is 1000.0, not a whole number"),
    ({"max_position_embeddings": 0}, "`max_position_embeddings` is 0"),
    ({"max_position_embeddings": 10**20}, "`max_position_embeddings` is 100,000,000,000,000"),
    ({"head_dim": 0}, "`head_dim` is 0"),
    ({"head_dim": 2**40}, "`head_dim` is 1,099,511,627,776"),
    ({"tie_word_embeddings": "no"}, "`tie_word_embeddings` is 'no', not true or false"),
    ({"attention_bias": 1}, "`attention_bias` is 1, not true or false"),
    ({"model_type": "novel", "hidden_size": -64}, "`hidden_size` is -64"),
    ({"model_type": "novel", "hidden_size": "64"}, "`hidden_size` is '64'"),
    ({"model_type": "falcon", "multi_query": "no"}, "`multi_query` is 'no'"),
    ({"model_type": "gpt_neox", "num_attention_heads": 5}, "does not divide by 5 heads"),
    (MIXTRAL | {"num_experts_per_tok": 9}, "`num_experts_per_tok` is 9, but there are 8 experts"),
    (MIXTRAL | {"num_local_experts": 10**6}, "`num_local_experts` is 1,000,000"),
    (MIXTRAL | {"num_local_experts": None}, "has no `num_local_experts`"),
    (
        {"model_type": "llava", "text_config": LLAMA | {"vocab_size": -3}},
        "`vocab_size` is -3, not between",
    ),
]


@pytest.mark.parametrize(("change", "words"), CHANGES, ids=[words for _, words in CHANGES])
def test_a_config_that_lies_is_a_finding(
    change: dict[str, Any], words: str, tmp_path: Path
) -> None:
    (finding,) = unreadable(tmp_path, json.dumps(LLAMA | change, indent=2))
    assert words in finding.title and finding.title.startswith("`m/config.json`")
    assert finding.severity is Severity.ERROR and finding.found.startswith("expected ")
    assert finding.place is not None and finding.place.file == "m/config.json"
    line = json.dumps(LLAMA | change, indent=2).splitlines()[finding.place.line - 1]
    keys = finding.evidence["keys"]
    assert f'"{keys[-1]}"' in line or (finding.place.line, finding.place.column) == (1, 1)


BROKEN: list[tuple[str | bytes, str, int]] = [
    ("", "it is empty", 1),
    (" \n\n", "it is empty", 1),
    ("[1]", "it holds a list, and is not a JSON object", 1),
    ("3", "it holds a number, and", 1),
    ('"llama"', "it holds a text, and", 1),
    ("null", "it holds null, and", 1),
    ("true", "it holds true or false, and", 1),
    ('{"model_type": "llama",\n "hidden_size": 64,', "it ends before its last bracket", 2),
    ('{"model_type": "lla', "it ends before its last bracket", 1),
    ('{\n"hidden_size": 64,\n}', "a key in double quotes is missing", 3),
    ("{\n'hidden_size': 64}", "a key in double quotes is missing", 2),
    ('{"hidden_size": 64\n "vocab_size": 3}', "a comma is missing", 2),
    ('{"hidden_size" 64}', "a colon is missing", 1),
    ('{"hidden_size": wide}', "a value is missing, or is none", 1),
    ("{}\n{}", "more follows after its end", 2),
    ("\ufeff{}", "it begins with a byte order mark", 1),
    (b'{"a": "\xff"}', "it is not UTF-8, at byte 7", 1),
    (json.dumps(LLAMA).encode("utf-16"), "it is not UTF-8, at byte 0", 1),
    ("[" * 100_000, "it is nested too deeply", 1),
    ('{"hidden_size": 1' + "0" * 5000 + "}", "a number of more than 4,300 digits", 1),
    (json.dumps(LLAMA).replace("}", ', "pad": "' + " " * 2**22 + '"}'), "more than 4,194,304", 1),
]


@pytest.mark.parametrize(("content", "words", "line"), BROKEN, ids=[row[1] for row in BROKEN])
def test_what_is_no_json_is_a_finding(
    content: str | bytes, words: str, line: int, tmp_path: Path
) -> None:
    (finding,) = unreadable(tmp_path, content)
    assert words in finding.title and "m/config.json" in finding.title
    assert finding.place is not None and finding.place.line == line


def test_all_faults_are_told_at_once_each_at_its_line(tmp_path: Path) -> None:
    faulty = """{
      "model_type": "llama",
      "hidden_size": -64,
      "num_attention_heads": 4,
      "num_key_value_heads": 3,
      "vocab_size": 400,
      "vocab_size": "many",
      "tie_word_embeddings": 1
    }"""
    found = unreadable(tmp_path, faulty)
    assert [(item.place.line if item.place else 0, *item.evidence["keys"]) for item in found] == [
        (1, "num_hidden_layers"),
        (1, "intermediate_size"),
        (3, "hidden_size"),
        (5, "num_key_value_heads"),
        (7, "vocab_size"),  # it is there twice
        (7, "vocab_size"),  # and the second is no number
        (8, "tie_word_embeddings"),
    ]


def test_keys_of_a_text_config_are_found_inside(tmp_path: Path) -> None:
    inner = LLAMA | {"hidden_size": 0, "vocab_size": None}
    outer = {"model_type": "llava", "hidden_size": 64, "text_config": inner}
    found = unreadable(tmp_path, json.dumps(outer, indent=1))
    lines = json.dumps(outer, indent=1).splitlines()
    places = [(lines[item.place.line - 1].strip(), item.found) for item in found if item.place]
    assert places == [
        ('"hidden_size": 0,', "expected a whole number from 1 to 1,048,576"),
        ('"vocab_size": null,', "expected a whole number from 1 to 16,777,216"),
    ]


def test_a_key_twice_with_one_value_is_no_lie(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    content = json.dumps(LLAMA).replace("{", '{"hidden_size": 64, ', 1)
    (tmp_path / "m" / "config.json").write_text(content)
    assert check(tmp_path, "m").plan is not None


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "llava"},
        {"model_type": "llava", "text_config": None},
        {"model_type": "gemma3", "text_config": 3},
        {"model_type": "openelm", "num_query_heads": [4, 8], "ffn_multipliers": [0.5, 4.0]},
        LLAMA | {"model_type": "novel", "intermediate_size": [64, 128]},
        LLAMA | {"model_type": "novel"},
    ],
)
def test_an_unknown_family_gets_no_number(config: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    compiled = check(tmp_path, "m")
    names = {item.name for item in compiled.findings}
    assert names & {"memory-unknown", "unmapped-targets", "model-unreadable"}
    assert compiled.plan is None or compiled.plan.memory.peak_bytes is None


WHOLE = gguf(*decoder(layers=1, hidden=32, ffn=32, vocab=8))
HEADERS: list[tuple[bytes, str]] = [
    (b"", "does not begin with GGUF"),
    (b"GGML" + WHOLE[4:], "does not begin with GGUF"),
    (WHOLE[:800], "cut short"),
    (WHOLE[:-64], "cut short"),
    (WHOLE[:8] + struct.pack("<Q", 2**62) + WHOLE[16:], "tensors, more than fit"),
    (WHOLE[:16] + struct.pack("<Q", 2**62) + WHOLE[24:], "keys, more than fit"),
    (WHOLE.replace(text("general.name"), struct.pack("<Q", 2**50) + b"general.name"), "a text of"),
    (gguf(*decoder(extra={"llama.block_count": 10**6})), "block_count` is"),
    (gguf(*decoder(extra={"llama.block_count": 2.0})), "`llama.block_count` is 2.0, not a whole"),
    (gguf(*decoder(extra={"llama.block_count": "two"})), "`llama.block_count` is 'two', not a"),
    (gguf(*decoder(extra={"llama.block_count": 0})), "`llama.block_count` is 0, not between"),
    (gguf(*decoder(extra={"llama.embedding_length": 0})), "`llama.embedding_length` is 0"),
    (gguf(*decoder(extra={"llama.attention.head_count": 0})), "`llama.attention.head_count` is 0"),
    (gguf(*decoder(extra={"llama.attention.head_count_kv": 3})), "do not divide by 3 key heads"),
    (gguf(*decoder(extra={"llama.vocab_size": 10**9})), "`tokenizer.ggml.tokens` is 1,000,000,000"),
    (gguf(*decoder(extra={"llama.feed_forward_length": 999})), "contradicts itself"),
    (
        gguf(
            *decoder(extra={"llama.block_count": Raw(9, struct.pack("<IQf", 6, 1, float("inf")))})
        ),
        "`llama.block_count` is inf",
    ),
]


@pytest.mark.parametrize(("content", "words"), HEADERS, ids=[row[1] for row in HEADERS])
def test_a_header_that_lies_is_a_finding(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(content)
    compiled = check(tmp_path, "m.gguf")
    found = [item for item in compiled.findings if item.name == "model-unreadable"]
    assert compiled.plan is None and len(found) == 1
    assert words in found[0].title and "m.gguf" in found[0].title


def _mutated(content: bytes, chance: random.Random) -> bytes:
    """Return a text with one to three pieces cut, doubled, overwritten or exchanged."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(changed) + 1)
        end = min(len(changed), at + chance.choice((1, 1, 2, 8, 30)))
        pieces = [b"", changed[at:end] * 2, bytes(chance.randbytes(end - at)), b"-", b"0", b"null"]
        pieces += [
            b"1e999",
            b"NaN",
            b'"',
            b"{",
            b"}",
            b"[",
            b",",
            b"9" * 30,
            b"\xef\xbb\xbf",
            b"\\",
        ]
        changed[at:end] = chance.choice(pieces)
    return bytes(changed)


@pytest.mark.parametrize("seed", range(6))
def test_no_mutation_of_a_config_makes_a_traceback(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    nested = {"model_type": "llava", "text_config": LLAMA}
    (tmp_path / "m").mkdir()
    for _ in range(150):
        whole = json.dumps(chance.choice([LLAMA, MIXTRAL, nested]), indent=chance.choice([None, 1]))
        (tmp_path / "m" / "config.json").write_bytes(_mutated(whole.encode(), chance))
        compiled = check(tmp_path, "m")
        for item in compiled.findings:
            assert item.help and "\n" not in item.title and len(item.title) < 400
            if item.name == "model-unreadable":
                assert "m/config.json" in item.title and item.place is not None


@pytest.mark.parametrize("seed", range(3))
def test_no_mutation_of_a_header_makes_a_traceback(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    for _ in range(150):
        (tmp_path / "m.gguf").write_bytes(_mutated(WHOLE, chance))
        for item in check(tmp_path, "m.gguf").findings:
            assert item.help and "\n" not in item.title and len(item.title) < 400
