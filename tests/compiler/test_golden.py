"""Whole projects, compared byte for byte: `tests/golden/<recipe>/`; --update-golden rewrites."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from machines import CPU

from ftspec.cli.inputs import read_spec
from ftspec.compiler.emit import emit
from ftspec.compiler.pipeline import compile_spec
from ftspec.compiler.plan import Plan

GOLDEN = Path(__file__).parents[1] / "golden"
RECIPES = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())
DATA = {"guide-flat": "train.jsonl"}  # the guide's form names no data: --data does
RUFF = [sys.executable, "-m", "ruff"]


@cache
def plan_of(recipe: str) -> Plan:
    folder = GOLDEN / recipe
    data = str(folder / DATA[recipe]) if recipe in DATA else None
    parsed, root = read_spec(str(folder / "spec.yaml"), data)
    compiled = compile_spec(parsed, root, CPU, project=folder / "project", needs_data=True)
    assert compiled.plan is not None, [item.title for item in compiled.findings]
    return compiled.plan


def committed(recipe: str) -> dict[str, bytes]:
    project = GOLDEN / recipe / "project"
    paths = [path for path in project.rglob("*") if path.is_file()]
    return {path.relative_to(project).as_posix(): path.read_bytes() for path in paths}


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_project_is_as_committed(recipe: str, update_golden: bool) -> None:
    emitted = emit(plan_of(recipe))
    project = GOLDEN / recipe / "project"
    if update_golden:
        shutil.rmtree(project, ignore_errors=True)
        for name, content in emitted.items():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            (project / name).write_bytes(content)
    found = committed(recipe)
    assert set(found) == set(emitted)
    for name, content in emitted.items():
        assert content.decode() == found[name].decode(), name


@pytest.mark.parametrize("recipe", RECIPES)
def test_compiling_twice_gives_the_same_bytes(recipe: str) -> None:
    first = emit(plan_of(recipe))
    plan_of.cache_clear()
    assert emit(plan_of(recipe)) == first
    assert emit(Plan.model_validate_json(first["plan.json"])) == first


@pytest.mark.parametrize("recipe", RECIPES)
def test_scripts_are_read_top_to_bottom_and_need_no_ftspec(recipe: str) -> None:
    for name, content in emit(plan_of(recipe)).items():
        text = content.decode()
        assert not re.search(r"/(work|home|tmp|root|Users)/", text), f"{name}: an absolute path"
        assert text.endswith("\n") and not re.search(r"[ \t]$", text, re.MULTILINE), name
        if name.endswith(".py"):
            tree = ast.parse(text)
            assert ast.get_docstring(tree)
            assert not any(module.startswith("ftspec") for module in imports(tree)), name
        if name == "train.py":
            assert 150 <= len(text.splitlines()) <= 250


def imports(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("length", [88, 100])
def test_the_formatter_has_nothing_to_change(length: int) -> None:
    command = [*RUFF, "format", "--isolated", "--no-cache", "--check", "--diff"]
    command += ["--line-length", str(length), *(str(GOLDEN / name / "project") for name in RECIPES)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_linter_has_nothing_to_say(recipe: str) -> None:
    command = [*RUFF, "check", "--isolated", "--no-cache", "."]
    where = GOLDEN / recipe / "project"
    result = subprocess.run(command, capture_output=True, text=True, cwd=where)
    assert result.returncode == 0, result.stdout


def test_the_recipes_cover_the_language() -> None:
    plans = [plan_of(recipe) for recipe in RECIPES]
    assert len(plans) >= 8
    assert {p.method.type for p in plans} == {"full", "lora", "qlora", "prefix", "prompt"}
    formats = {"alpaca", "sharegpt", "messages", "prompt-completion", "text"}
    assert {p.data.format for p in plans} == formats
    assert {p.data.kind for p in plans} == {"json", "csv", "parquet", "hub"}
    assert {p.data.eval_from for p in plans} == {"share", "file", "none"}
    assert {p.train.precision for p in plans} == {"bf16", "fp16", "none"}
    assert {p.hardware.device for p in plans} == {"cpu", "cuda"}
    templates = {(bool(p.model.chat_template), p.model.chat_template_fallback) for p in plans}
    assert templates == {(False, False), (True, False), (True, True)}
    assert any(p.hardware.split_model for p in plans)
    assert any(p.memory.ranks > 1 for p in plans)
    assert any(p.train.early_stopping for p in plans)
    assert any(p.data.packing and p.model.attention == "flash_attention_2" for p in plans)
    assert any(p.train.scheduler == "warmup_stable_decay" for p in plans)
