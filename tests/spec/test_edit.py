"""Editing in place: one key changes, and everything else stays byte for byte."""

from __future__ import annotations

import copy
import difflib
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import documents

from ftspec.spec.canonical import canonical
from ftspec.spec.edit import CannotEditError, apply, diff, literal, set_key
from ftspec.spec.finding import Edit
from ftspec.spec.parse import parse
from ftspec.spec.reader import read, resolve
from ftspec.spec.tree import plain


def values(text: str) -> dict[str, Any]:
    """The full form of a spec as plain data, its short forms and empty sections spelt out."""
    root = read(text, "spec").root
    assert root is not None
    full = plain(canonical(root).root)
    return {key: value for key, value in full.items() if value not in (None, {})}


EDITS: dict[str, st.SearchStrategy[Any]] = {
    "model.dtype": st.sampled_from(["bfloat16", "float32"]),
    "model.name": st.sampled_from(["./folder", "owner/name", "C:\\models\\x", "#1: a", ""]),
    "model.chat_template": st.text(max_size=12),
    "method.type": st.sampled_from(["lora", "qlora"]),
    "method.alpha": st.integers(1, 99),
    "method.target_modules": st.lists(st.sampled_from(["q_proj", "v: x", "[a"]), min_size=1),
    "data.train": st.sampled_from(["b.jsonl", "*.csv", ["a.jsonl", "- b"], "no", "1e3"]),
    "data.eval": st.sampled_from(["5%", "none"]),
    "data.columns": st.just({"text": "Body: all"}),
    "data.packing": st.booleans(),
    "train.learning_rate": st.floats(1e-7, 1).map(lambda x: float(f"{x:.4g}")),
    "train.early_stopping": st.sampled_from([True, False, {"patience": 2, "min_delta": 0.01}]),
    "train.max_steps": st.integers(1, 10**6),
    "hardware.count": st.integers(1, 8),
    "hardware.vram_limit": st.sampled_from(["20GiB", "16 GB"]),
    "tune.memory": st.sampled_from(["off", "auto"]),
    "tune.allow": st.lists(st.sampled_from(["quantize", "shorten"]), unique=True),
    "evaluate": st.lists(st.sampled_from(["bleu", "rouge"]), min_size=1),
    "run.max_attempts": st.integers(1, 9),
    "output": st.sampled_from(["out", "my runs", "null", "'"]),
}
edits = st.sampled_from(list(EDITS)).flatmap(lambda path: st.tuples(st.just(path), EDITS[path]))


@given(documents(), edits)
@settings(max_examples=400, deadline=None)
def test_an_edit_changes_its_key_and_nothing_else(text: str, edit: tuple[str, Any]) -> None:
    path, value = edit
    before, after = values(text), set_key(text, tuple(path.split(".")), value)
    expected = copy.deepcopy(before)
    section, _, key = path.partition(".")
    if key:
        expected.setdefault(section, {})[key] = value
    else:
        expected[section] = value
    assert values(after) == expected
    assert only_one_place_differs(text, after)


def only_one_place_differs(before: str, after: str) -> bool:
    """Whether the lines that differ lie together, and no comment outside them is lost."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    codes = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return sum(tag != "equal" for tag, *_ in codes) <= 1


@given(documents(), edits)
@settings(max_examples=100, deadline=None)
def test_an_edit_made_twice_changes_nothing_more(text: str, edit: tuple[str, Any]) -> None:
    path, value = edit
    once = set_key(text, tuple(path.split(".")), value)
    assert set_key(once, tuple(path.split(".")), value) == once


BLOCK = """\
# what we train
model: gpt2   # small
method:
  type: lora  # or qlora
  r: 16

  # scale
  alpha: 32
data: train.jsonl
"""


@pytest.mark.parametrize(
    ("text", "path", "value", "line"),
    [
        pytest.param(BLOCK, "method.r", 8, "  r: 8", id="a scalar in a block"),
        pytest.param(BLOCK, "method.type", "qlora", "  type: qlora  # or qlora", id="comment"),
        pytest.param(BLOCK, "method.dropout", 0.1, "  dropout: 0.1", id="a new key"),
        pytest.param(BLOCK, "model.name", "gpt3", "model: gpt3   # small", id="short form"),
        pytest.param(
            BLOCK,
            "model.dtype",
            "float32",
            "model: {name: gpt2, dtype: float32}   # small",
            id="a second key of a short form",
        ),
        pytest.param(
            BLOCK,
            "data.eval",
            "5%",
            "data: {train: train.jsonl, eval: 5%}",
            id="data in short form",
        ),
        pytest.param(BLOCK, "train.learning_rate", 2e-4, "  learning_rate: 2e-4", id="section"),
        pytest.param(BLOCK, "evaluate", ["bleu"], "evaluate: [bleu]", id="a list"),
        pytest.param(
            "model: gpt2\nmethod: lora\ndata: [a.jsonl, 'b c.jsonl']\n",
            "data.packing",
            True,
            "data: {train: [a.jsonl, 'b c.jsonl'], packing: true}",
            id="a short list keeps its own writing",
        ),
        pytest.param(
            "model: gpt2\nmethod: lora\ndata:\n  - a.jsonl\n  - b.jsonl\n",
            "data.packing",
            True,
            "data:",
            id="a short block list",
        ),
        pytest.param(
            "model: gpt2\nmethod: lora\ntrain:   # none yet\n",
            "train.epochs",
            2,
            "  epochs: 2",
            id="an empty section",
        ),
        pytest.param(
            "model: gpt2\nmethod: lora\ntrain: {}\n",
            "train.epochs",
            2.0,
            "train: {epochs: 2}",
            id="an empty map",
        ),
        pytest.param(
            "{model: gpt2, method: lora}",
            "train.epochs",
            2,
            "{model: gpt2, method: lora, train: {epochs: 2}}",
            id="a spec on one line",
        ),
        pytest.param(
            "model: gpt2\nmethod: lora\nhardware: auto\n",
            "hardware.count",
            2,
            "hardware: {count: 2}",
            id="a section that was open",
        ),
        pytest.param(
            "model: gpt2\nmethod: lora\ntrain: {early_stopping: true}\n",
            "train.early_stopping.patience",
            2,
            "train: {early_stopping: {patience: 2}}",
            id="three levels",
        ),
    ],
)
def test_layouts(text: str, path: str, value: Any, line: str) -> None:
    edited = set_key(text, tuple(path.split(".")), value)
    assert line in edited.splitlines()
    assert re.findall(r"#.*", edited) == re.findall(r"#.*", text)
    route = path.split(".")
    found: Any = values(edited)
    for key in route:
        found = found[key]
    assert found == value


def test_a_byte_order_mark_stays() -> None:
    assert set_key("\ufeffmodel: gpt2\n", ("output",), "x") == "\ufeffmodel: gpt2\noutput: x\n"


def test_the_last_line_may_lack_its_end() -> None:
    assert set_key("model: gpt2\nmethod: lora", ("output",), "x") == (
        "model: gpt2\nmethod: lora\noutput: x\n"
    )


def test_line_ends_of_windows_stay() -> None:
    text = "model: gpt2\r\nmethod:\r\n  type: lora\r\n  r: 8\r\n"
    edited = set_key(set_key(text, ("method", "alpha"), 16), ("output",), "out")
    assert edited == text + "  alpha: 16\r\noutput: out\r\n"


FLAT = """\
model: meta-llama/Llama-2-7b-hf
lora_r: 16        # the guide's
lora_alpha: 32
batch_size: 4
use_4bit: true
"""


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        ("method.r", 8, "lora_r: 8        # the guide's"),
        ("method.type", "lora", "use_4bit: false"),
        ("data.max_length", 512, "max_seq_length: 512"),
        ("train.epochs", 3, "epochs: 3"),
        ("data.train", "a.jsonl", "  train: a.jsonl"),
        ("output", "x", "output: x"),
    ],
)
def test_the_flat_form_is_edited_in_its_own_words(path: str, value: Any, line: str) -> None:
    edited = set_key(FLAT, tuple(path.split(".")), value)
    assert line in edited.splitlines()
    section, _, key = path.partition(".")
    found = values(edited)[section]
    assert (found[key] if key else found) == value
    assert parse(edited, "spec").findings == ()


@pytest.mark.parametrize("path", ["method.dora", "train.warmup", "tune.memory", "method.type"])
def test_the_flat_form_refuses_what_it_has_no_key_for(path: str) -> None:
    value = "prefix" if path == "method.type" else True
    with pytest.raises(CannotEditError, match="flat form"):
        set_key(FLAT, tuple(path.split(".")), value)


def test_a_flat_spec_with_data_as_a_map_takes_lengths() -> None:
    text = FLAT + "max_seq_length: 256\ndata: {train: a.jsonl}\n"
    edited = set_key(text, ("data", "max_length"), 128)
    assert values(edited)["data"] == {"train": "a.jsonl", "max_length": 128}
    other = set_key(FLAT + "data: {train: a.jsonl, max_length: 64}\n", ("data", "max_length"), 128)
    assert values(other)["data"] == {"train": "a.jsonl", "max_length": 128}


def test_a_text_that_is_no_spec_is_refused() -> None:
    with pytest.raises(CannotEditError, match="cannot be read"):
        set_key("model: [", ("output",), "x")


def test_an_alias_is_replaced_where_it_is_written() -> None:
    text = "model: gpt2\ndata: &file a.jsonl\nrun: {on_oom: stop}\noutput: *file\n"
    assert set_key(text, ("output",), "b") == text.replace("*file", "b")


def test_an_anchor_that_others_use_is_not_edited() -> None:
    text = "model: &m {name: gpt2}\nmethod: lora\ndata: {train: a.jsonl, columns: *m}\n"
    for path in ("model.dtype", "model.name", "data.columns.name"):
        with pytest.raises(CannotEditError, match="in this layout"):
            set_key(text, tuple(path.split(".")), "float32")


def test_a_comment_inside_a_map_does_not_swallow_the_new_key() -> None:
    text = "model: gpt2\nmethod: {\n  type: lora, # which\n  r: 8 # rank\n}\n"
    edited = set_key(text, ("method", "alpha"), 16)
    assert edited == text.replace("r: 8 #", "r: 8, alpha: 16 #")


def test_a_template_in_a_block_of_text_stays() -> None:
    text = "model:\n  name: gpt2\n  chat_template: |\n    {{ a }}\n    # no comment\n\ndata: x\n"
    edited = set_key(text, ("model", "dtype"), "float32")
    assert values(edited)["model"]["chat_template"] == "{{ a }}\n# no comment\n"
    assert values(edited)["model"]["dtype"] == "float32"
    other = set_key(text, ("model", "chat_template"), "chat.jinja")
    assert other == "model:\n  name: gpt2\n  chat_template: chat.jinja\n\ndata: x\n"


def test_several_edits_and_their_diff() -> None:
    patch = [Edit("method.r", 16, 8), Edit("train.epochs", None, 1)]
    edited = apply(BLOCK, patch)
    assert diff(BLOCK, edited, "ftspec.yaml") == (
        "--- ftspec.yaml\n+++ ftspec.yaml\n@@ -4,3 +4,3 @@\n   type: lora  # or qlora\n"
        "-  r: 16\n+  r: 8\n \n@@ -9 +9,3 @@\n data: train.jsonl\n+train:\n+  epochs: 1\n"
    )


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_numbers_are_written_so_that_they_are_read_again(value: float) -> None:
    assert resolve(literal(value)) == pytest.approx(value, rel=1e-5, abs=1e-300)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (2e-4, "2e-4"),
        (0.05, "0.05"),
        (3.0, "3"),
        (None, "auto"),
        (True, "true"),
        ("no", "no"),
        ("true", '"true"'),
        ("5%", "5%"),
        ("1e3", '"1e3"'),
        ("a: b", '"a: b"'),
        ("", '""'),
        ("~", '"~"'),
        ("é\n", '"é\\n"'),
        (["a", "b c"], "[a, b c]"),
        ({"patience": 2}, "{patience: 2}"),
    ],
)
def test_literals_are_written_as_a_person_would(value: Any, written: str) -> None:
    assert literal(value) == written


@given(st.text())
@settings(max_examples=200)
def test_any_text_is_written_so_that_it_is_read_again(text: str) -> None:
    source = read(f"key: {literal(text)}\n", "spec")
    assert source.root is not None
    assert plain(source.root) == {"key": text}
