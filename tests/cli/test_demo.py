"""The demonstration: its data, what it says where something is missing, and a short run of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ftspec.cli import demo
from ftspec.cli.boundary import run
from ftspec.runtime.demo import docstrings
from ftspec.runtime.demo.smollm2 import INSTALL, find_gguf
from ftspec.runtime.supervise import missing_libraries

SHORT = {
    "max_steps: 16 ": "max_steps: 3 ",
    "eval_steps: 8": "eval_steps: 3",
    "save_steps: 8": "save_steps: 3",
}


def test_the_library_documents_more_than_a_thousand_functions() -> None:
    rows = docstrings.questions()
    assert len(rows) >= 1000
    assert len({row["output"] for row in rows}) == len(rows)
    assert all(30 <= len(row["output"]) <= 300 for row in rows)
    answers = {row["instruction"]: row["output"] for row in rows}
    assert answers["What does `shutil.rmtree` do?"].startswith("Recursively delete")


def test_rows_are_parted_the_same_way_every_time() -> None:
    rows = docstrings.questions()
    train, held_out = docstrings.split(rows, 60)
    assert docstrings.split(rows, 60) == (train, held_out)
    assert len(held_out) == 60
    asked = {row["instruction"] for row in train}
    assert not any(row["instruction"] in asked for row in held_out)


def test_sources_that_do_not_parse_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(
        'def f():\n    """Return what this function is for, whole."""\n'
    )
    (tmp_path / "bad.py").write_text("def f(:\n")
    (tmp_path / "_private.py").write_text(
        'def g():\n    """Return something that is private here."""\n'
    )
    assert [row["instruction"] for row in docstrings.questions(tmp_path)] == [
        "What does `good.f` do?"
    ]


def test_without_the_model_the_line_to_type_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "find_gguf", lambda: None)
    monkeypatch.setattr(demo, "missing_libraries", lambda: ())
    assert run(["demo", "--folder", str(tmp_path / "demo")]) == 1
    assert INSTALL in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()


def test_without_the_training_libraries_the_line_to_type_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "missing_libraries", lambda: ("torch", "trl"))
    assert run(["demo", "--folder", str(tmp_path / "demo")]) == 1
    assert "pip install 'ftspec[train]'" in capsys.readouterr().err


@pytest.mark.skipif(find_gguf() is None, reason=f"needs SmolLM2: {INSTALL}")
@pytest.mark.skipif(bool(missing_libraries()), reason="needs the training libraries")
def test_a_short_demonstration_runs_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    text = demo.SPEC
    for long, short in SHORT.items():
        assert long in text
        text = text.replace(long, short)
    monkeypatch.setattr(demo, "SPEC", text)
    monkeypatch.setattr(demo, "HELD_OUT", 12)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    assert run(["demo", "--folder", str(tmp_path / "demo")]) == 0
    out = capfd.readouterr().out
    newest = tmp_path / "demo" / "project" / "runs" / "1"
    result = json.loads((newest / "evaluation.json").read_text(encoding="utf-8"))
    perplexity = result["metrics"]["perplexity"]
    assert perplexity["tuned"] < perplexity["base"]
    assert (newest / "merged" / "model.safetensors").is_file()
    for title in ("Model", "Data", "Check", "Build", "Run", "Diagnose", "Evaluate", "Merge"):
        assert f"== {title}" in out
    assert "before: " in out
    assert "after: " in out
    assert "With your own data" in out
