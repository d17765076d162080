"""Any valid spec compiles and emits; no spec can put code into what is emitted."""

from __future__ import annotations

import ast
import io
import json
import math
import subprocess
import sys
import tokenize
from pathlib import Path
from typing import Any

import pytest
from compiling import Spec, compiled, errors, plan_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from machines import CPU, H100, RTX_4090, T4
from strategies import COLUMNS, specs
from tiny import rows_of, write_rows

from ftspec.compiler.emit import emit, plain_words, python_literal, python_number
from ftspec.compiler.plan import Plan

LLAMA = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 400,
    "max_position_embeddings": 2048,
}
SETTLED = settings(
    deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# What may still be wrong with a valid spec once the card is known.
OF_THE_CARD = {"no-bf16", "does-not-fit"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model's config and data of each format, under both names of columns."""
    folder = tmp_path_factory.mktemp("specs")
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text(json.dumps(LLAMA))
    for format, columns in COLUMNS.items():
        plain = rows_of(format, 50)
        renamed = [rename(row, columns) for row in plain]
        for name, rows in (("plain", plain), ("renamed", renamed)):
            for part, count in (("train", 50), ("eval", 5)):
                write_rows(folder / f"{format}-{name}-{part}.jsonl", rows[:count])
    return folder


def rename(value: Any, columns: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {columns.get(key, key): rename(item, columns) for key, item in value.items()}
    return [rename(item, columns) for item in value] if isinstance(value, list) else value


def located(spec: Spec) -> Spec:
    """Name the files that hold what the spec says they hold."""
    data = spec["data"]
    stem = f"{data.get('format', 'alpaca')}-{'renamed' if 'columns' in data else 'plain'}"
    found: Spec = {**data, "train": f"{stem}-train.jsonl"}
    if data.get("eval") == "eval.jsonl":
        found["eval"] = f"{stem}-eval.jsonl"
    return {**spec, "data": found}


machines = st.sampled_from([CPU, RTX_4090, T4, H100])


@given(spec=specs(model="model"), hardware=machines)
@settings(SETTLED, max_examples=50)
def test_any_valid_spec_compiles_to_code_that_parses(root: Path, spec: Spec, hardware: Any) -> None:
    result = compiled(located(spec), root, hardware)
    if result.plan is None:
        assert errors(result) and set(errors(result)) <= OF_THE_CARD
        return
    files = emit(result.plan)
    again = compiled(located(spec), root, hardware).plan
    assert again is not None and emit(again) == files, "compiling twice gives the same bytes"
    assert emit(Plan.model_validate_json(files["plan.json"])) == files
    for name, content in files.items():
        if name.endswith(".py"):
            modules = {
                n.module for n in ast.walk(ast.parse(content)) if isinstance(n, ast.ImportFrom)
            }
            assert not any((module or "").startswith("ftspec") for module in modules)


def test_any_valid_spec_compiles_to_code_that_formatter_and_linter_accept(
    root: Path, tmp_path: Path
) -> None:
    folders = iter(range(1000))

    @given(spec=specs(model="model"), long=st.booleans())
    @settings(SETTLED, max_examples=25)
    def write(spec: Spec, long: bool) -> None:
        plan = compiled(located(spec), root, RTX_4090).plan
        if plan is None:
            return
        if long:
            plan = with_text(plan, "words " * 20)
        folder = tmp_path / f"project-{next(folders)}"
        folder.mkdir()
        for name, content in emit(plan).items():
            if name.endswith(".py"):
                (folder / name).write_bytes(content)

    write()
    ruff = [sys.executable, "-m", "ruff"]
    for length in ("88", "100"):
        style = [
            *ruff,
            "format",
            "--isolated",
            "--no-cache",
            "--diff",
            "--line-length",
            length,
            ".",
        ]
        result = subprocess.run(style, capture_output=True, text=True, cwd=tmp_path)
        assert result.returncode == 0, result.stdout[:4000]
    ours = 'src = ["project-*"]'  # journal.py is the project's own
    lint = [*ruff, "check", "--isolated", "--no-cache", "--config", ours, "."]
    result = subprocess.run(lint, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stdout[:4000]


def with_text(plan: Plan, text: str) -> Plan:
    """Put a text into every field of a plan that holds a user's own words."""
    data = plan.model_dump(mode="json")
    data["output"] = text
    data["model"] |= {"name": text, "revision": text, "chat_template": text, "architecture": text}
    data["data"] |= {"train": [text], "system": text, "split": text, "eval_split": text}
    data["data"]["columns"] = {key: text for key in data["data"]["columns"]}
    data["spec"] = {"name": text, "text": text}
    if data["data"]["eval_from"] == "file":
        data["data"]["eval"] = [text, text]
    if data["method"]["init"] == "text":
        data["method"]["init_text"] = text
    if data["method"]["target_modules"]:
        data["method"]["target_modules"] = [text, text, text]
    if data["method"]["modules_to_save"]:
        data["method"]["modules_to_save"] = [text]
    return Plan.model_validate(data)


HOSTILE = [
    '"; import os; os.system("x") #',
    "'''\nimport os\n'''",
    '"""\nimport os\n"""',
    "\\",
    'a\\"b\nimport os',
    "a\rimport os",
    "a\x0cimport os",
    "a\u2028import os\u2029\x85\x1e",
    "{{ 7 * 7 }}{% raw %}#% if x",
    "#% endif\nimport os",
    "${HOME} $(touch x) `touch x`",
    "\x00\x1b[31m\ufeff\u202e",
    "${{ github }}\t|\n| a | b |",
    '"' * 3 + "\\" * 3,
]
hostile = st.sampled_from(HOSTILE) | st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30
)


def outline(content: bytes) -> tuple[list[str], int]:
    """Return the kinds of all nodes of a script in order, and how many comments it has."""
    text = content.decode()
    tree = ast.parse(text)
    tokens = tokenize.generate_tokens(io.StringIO(text, newline="").readline)
    comments = [token for token in tokens if token.type == tokenize.COMMENT]
    return [type(node).__name__ for node in ast.walk(tree)], len(comments)


def harmless(plan: Plan, text: str) -> None:
    first, second = emit(with_text(plan, "word")), emit(with_text(plan, text))
    assert set(first) == set(second)
    for name in first:
        if name.endswith(".py"):
            ours, theirs = outline(first[name]), outline(second[name])
            assert ours[0] == theirs[0], f"{name}: {text!r} changes the code"
            docs = [
                ast.get_docstring(ast.parse(files[name]), clean=False) for files in (first, second)
            ]
            assert all(docs) and docs[0].count("\n") == docs[1].count("\n")
        if name in ("README.md", "requirements.txt"):
            assert second[name].count(b"\n") == first[name].count(b"\n")
            assert len(second[name].decode().splitlines()) == len(first[name].decode().splitlines())


@pytest.mark.parametrize("format", COLUMNS)
@pytest.mark.parametrize("method", ["full", "lora", "qlora", "prefix", "prompt"])
def test_hostile_words_stay_words(root: Path, format: str, method: str) -> None:
    spec = {
        "model": "model",
        "method": {"type": method, **({"init_text": "x"} if method == "prompt" else {})},
        "data": {
            "train": f"{format}-plain-train.jsonl",
            "eval": f"{format}-plain-eval.jsonl",
            "format": format,
        },
    }
    plan = plan_of(spec, root, H100)
    turn = len(method) + 3 * len(format)  # each text in some, all of them together in each
    for text in ("".join(HOSTILE), HOSTILE[turn % len(HOSTILE)]):
        harmless(plan, text)


@given(text=hostile)
@settings(SETTLED, max_examples=60)
def test_no_words_make_code(root: Path, text: str) -> None:
    spec = {
        "model": "model",
        "method": {"type": "lora", "modules_to_save": ["lm_head"]},
        "data": {"train": "sharegpt-plain-train.jsonl", "eval": "20%", "system": "x"},
    }
    harmless(plan_of(spec, root, RTX_4090), text)


@given(text=hostile)
@settings(SETTLED, max_examples=60)
def test_hostile_specs_are_answered(root: Path, text: str) -> None:
    """In the spec itself: a plan, or findings; never a traceback."""
    for spec in (
        {"model": text, "method": "lora", "data": "alpaca-plain-train.jsonl"},
        {"model": "model", "method": "lora", "data": text},
        {"model": "model", "method": "lora", "data": {"train": [text, "x.jsonl"], "eval": text}},
        {
            "model": {"name": "gpt2", "revision": text, "chat_template": text},
            "method": {"type": "lora", "target_modules": ["c_attn", text]},
            "data": {"train": "alpaca-plain-train.jsonl", "system": text},
            "output": text,
        },
        {
            "model": "model",
            "method": "lora",
            "data": {
                "train": "alpaca-plain-train.jsonl",
                "format": "alpaca",
                "columns": {"instruction": text, "output": "output"},
            },
        },
        {"model": "model", "method": "lora", "data": "alpaca-plain-train.jsonl", "output": text},
    ):
        result = compiled(spec, root)
        assert result.findings or result.plan is not None
        if result.plan is not None:
            for name, content in emit(result.plan).items():
                if name.endswith(".py"):
                    ast.parse(content)


@given(st.text())
@settings(max_examples=500, deadline=None)
def test_a_text_comes_back_from_its_literal(text: str) -> None:
    literal = python_literal(text)
    assert ast.literal_eval(literal) == text
    assert literal.isprintable()


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(values)
@settings(max_examples=200, deadline=None)
def test_a_value_comes_back_from_its_literal(value: Any) -> None:
    assert alike(ast.literal_eval(python_literal(value)), value)


def alike(found: Any, value: Any) -> bool:
    """Say whether two values are the same, numbers to the six digits that are written."""
    if isinstance(value, float):
        return math.isclose(found, value, rel_tol=1e-5, abs_tol=1e-300)
    if isinstance(value, list):
        return len(found) == len(value) and all(map(alike, found, value))
    if isinstance(value, dict):
        return set(found) == set(value) and all(alike(found[key], value[key]) for key in value)
    return bool(found == value)


@pytest.mark.parametrize(
    ("number", "shown"),
    [(2e-4, "2e-4"), (0.05, "0.05"), (3.0, "3"), (1e-5, "1e-5"), (0.5, "0.5"), (0, "0"), (1, "1")],
)
def test_numbers_are_written_as_a_person_would(number: float, shown: str) -> None:
    assert python_number(number) == shown


def test_literals_are_laid_out_as_the_formatter_does(tmp_path: Path) -> None:
    lines = []

    @given(st.text(max_size=30))
    @settings(max_examples=150, deadline=None, derandomize=True)
    def collect(text: str) -> None:
        lines.append(f"x = {python_literal(text)}\n")

    collect()
    file = tmp_path / "literals.py"
    file.write_text("".join(lines), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "ruff",
        "format",
        "--isolated",
        "--no-cache",
        "--diff",
        str(file),
    ]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[:3000]


@given(st.text())
def test_plain_words_are_safe_anywhere(text: str) -> None:
    shown = plain_words(text)
    assert shown.isprintable() and len(shown) <= 60
    assert not set(shown) & set("\"'\\`$")
