"""How train.py ends when it cannot go on: the exit code, the event, and one line that says why."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from compiling import build
from projects import events, of_kind, run, spy
from tiny import rows_of, write_rows


@pytest.fixture
def project(sources: Path, tmp_path: Path) -> Path:
    """A LoRA project that saves and evaluates every second step."""
    shutil.copytree(sources / "llama", tmp_path / "llama")
    write_rows(tmp_path / "rows.jsonl", rows_of("alpaca", 24))
    return tmp_path / "project"


def make(project: Path, **train: Any) -> None:
    spec = {
        "model": "llama",
        "method": "lora",
        "data": {"train": "rows.jsonl", "eval": "20%"},
        "train": {
            "batch_size": 2,
            "gradient_accumulation": 1,
            "max_steps": 6,
            "save_steps": 2,
            "eval_steps": 2,
            "logging_steps": 1,
            **train,
        },
    }
    build(spec, project)


def test_out_of_memory_in_evaluation_is_76(project: Path) -> None:
    make(project)
    result = spy(project, project.parent / "r.json", "train.py", check=76, SPY_OOM="evaluate")
    last = events(project)[-1]
    assert (last["event"], last["phase"]) == ("out-of-memory", "evaluate")
    assert "evaluate: OutOfMemoryError" in result.stderr


def test_a_loss_that_is_not_finite_is_77(project: Path) -> None:
    from safetensors.torch import load_file, save_file

    make(project)
    file = project.parent / "llama" / "model.safetensors"
    weights = load_file(file)
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, file, metadata={"format": "pt"})
    run(project, "train.py", check=77)
    found = events(project)
    assert found[-1]["event"] == "stop" and found[-1]["code"] == 77
    assert of_kind(found, "step")[-1]["step"] == 1, "it stops at the first such step"
    assert not (project / "runs" / "1" / "final").exists()


def test_missing_data_is_78(project: Path) -> None:
    make(project)
    (project.parent / "rows.jsonl").unlink()
    result = run(project, "train.py", check=78)
    assert "rows.jsonl" in result.stderr
    assert "Traceback" not in result.stderr


def test_data_with_nothing_to_learn_is_78(project: Path) -> None:
    make(project)
    rows = [{"instruction": "x", "input": "", "output": ""}] * 24
    write_rows(project.parent / "rows.jsonl", rows)
    result = run(project, "train.py", "--max-length", "3", check=78)
    assert (
        "nothing to learn" in result.stdout + result.stderr or "anything to learn" in result.stderr
    )


def test_a_checkpoint_that_cannot_be_written_is_79(project: Path) -> None:
    make(project)
    (project / "runs" / "1").mkdir(parents=True)
    (project / "runs" / "1" / "checkpoint-2").write_text("in the way")
    result = run(project, "train.py", check=79)
    assert "save: " in result.stderr
    assert [json.loads(line)["event"] for line in lines(project)][-1] != "end"


def lines(project: Path) -> list[str]:
    return (project / "runs" / "1" / "events.jsonl").read_text().splitlines()


def test_evaluating_without_rows_held_out_is_78(project: Path) -> None:
    data = {"train": "rows.jsonl", "eval": "none"}
    build({"model": "llama", "method": "lora", "data": data}, project)
    assert "No rows were held out" in run(project, "evaluate.py", check=78).stderr
