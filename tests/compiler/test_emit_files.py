"""Which files a plan becomes, and what the rarer ones say."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from compiling import plan_of
from machines import CPU, H100

from ftspec.compiler.emit import convert_script, emit, keep_layout
from ftspec.compiler.plan import Plan

USUAL = {
    "README.md",
    "base.py",
    "chat.py",
    "evaluate.py",
    "ftspec.yaml",
    "handover.py",
    "journal.py",
    "merge.py",
    "metrics.py",
    "plan.json",
    "requirements.txt",
    "review.py",
    "shards.py",
    "train.py",
}
SPEC = {"model": "llama", "method": "lora", "data": "train.jsonl"}


def test_the_usual_files(world: Path) -> None:
    files = emit(plan_of(SPEC, world))
    assert set(files) == USUAL
    assert list(files) == sorted(files)
    assert b"gguf" not in files["requirements.txt"]


def test_files_and_libraries_are_there_where_they_are_needed(world: Path) -> None:
    none_held_out = {**SPEC, "data": {"train": "train.jsonl", "eval": "none"}}
    assert set(emit(plan_of(none_held_out, world))) == USUAL - {"metrics.py"}
    full = emit(plan_of({**SPEC, "method": "full"}, world))
    assert set(full) == USUAL - {"shards.py", "handover.py"}
    for metrics, needed in ((["rouge"], False), (["bleu"], True), (["perplexity", "chrf"], True)):
        files = emit(plan_of({**SPEC, "evaluate": metrics}, world))
        assert (b"sacrebleu==" in files["requirements.txt"]) is needed
        assert f"METRICS = {json.dumps(metrics)}".encode() in files["evaluate.py"]


def test_a_template_goes_along_where_one_is_needed(world: Path) -> None:
    files = emit(plan_of({**SPEC, "model": "untold"}, world))
    assert set(files) == USUAL | {"chat_template.jinja"}


def gguf_plan(world: Path) -> Plan:
    plan = plan_of(SPEC, world)
    model = plan.model.model_copy(update={"name": "base", "local": True, "gguf": "../m.gguf"})
    return plan.model_copy(update={"model": model})


def test_a_gguf_model_is_converted_first(world: Path) -> None:
    files = emit(gguf_plan(world))
    assert set(files) == USUAL | {"convert.py"}
    assert b"gguf==" in files["requirements.txt"]
    assert b"python convert.py" in files["README.md"]
    assert b'MODEL = str(HERE / "base")' in files["train.py"]
    tree = ast.parse(files["convert.py"])
    values = {
        node.targets[0].id: ast.unparse(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    assert values["GGUF"] == "HERE / '../m.gguf'" and values["TARGET"] == "HERE / 'base'"


@pytest.mark.parametrize("text", ['"""\nimport os', "a\\", "x'y\"z", "long " * 30])
def test_convert_holds_no_more_code_than_its_own(text: str) -> None:
    ours, theirs = (convert_script(word, word, word) for word in ("word", text))
    kinds = [[type(node) for node in ast.walk(ast.parse(script))] for script in (ours, theirs)]
    assert kinds[0] == kinds[1]


def test_convert_is_as_the_formatter_and_the_linter_want_it(tmp_path: Path) -> None:
    (tmp_path / "convert.py").write_text(convert_script("../m.gguf", "base", "spec.yaml"))
    (tmp_path / "long.py").write_text(convert_script("../m " * 30, "base", "spec.yaml"))
    for command in (["format", "--diff"], ["format", "--diff", "--line-length=100"], ["check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--isolated", "--no-cache", "."]
        result = subprocess.run(ruff, capture_output=True, text=True, cwd=tmp_path)
        assert result.returncode == 0, result.stdout


def test_device_map_is_only_where_one_card_cannot_hold_the_base(world: Path) -> None:
    spread = {**SPEC, "model": "meta-llama/Llama-2-70b-hf", "hardware": {"gpu": "h100", "count": 4}}
    assert b'device_map="auto"' in emit(plan_of(spread, world))["train.py"]
    for hardware in (CPU, H100):
        assert b"device_map" not in emit(plan_of(SPEC, world, hardware))["train.py"]


def test_several_copies_are_launched_together(world: Path) -> None:
    several = {**SPEC, "hardware": {"gpu": "h100", "count": 2}}
    files = emit(plan_of(several, world))
    assert b"accelerate launch --num_processes 2 train.py" in files["README.md"]
    assert b"x 2 ranks = " in files["train.py"]
    assert b"CUDA_VISIBLE_DEVICES" not in files["train.py"]


def test_the_readme_says_what_python_and_whose_it_is(world: Path) -> None:
    text = emit(plan_of(SPEC, world))["README.md"].decode()
    assert "Python 3.11 or newer" in text and "no longer run on Python 3.10" in text
    assert "python -m venv" in text and "conda create" in text and "they are yours" in text


def test_wide_lines_are_marked_and_others_left(world: Path) -> None:
    wide = f'x = f("{80 * chr(97)}", 1)'
    text = f'{wide}\ny = 1  # short\n"""{90 * chr(98)}"""\n'
    first, second, third, end = keep_layout(text).split("\n")
    assert first.endswith("  # fmt: skip") and (second, end) == ("y = 1  # short", "")
    assert third.endswith('"""')
    assert keep_layout(keep_layout(text)) == keep_layout(text)
    assert b"fmt: skip" not in b"".join(emit(plan_of(SPEC, world)).values())
