"""Going on after an interruption: from which checkpoint, and to the same end."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from projects import SPECS, Trained, events, of_kind, once, run, spy

Find = Callable[[str], Trained]


@pytest.fixture(scope="module")
def undisturbed(shared: Path, trained: Find) -> Path:
    """LoRA again, in one go, in the same project as a second run."""
    made = trained("lora")

    def make(folder: Path) -> None:
        for name in ("llama", "alpaca.jsonl", "alpaca-eval.jsonl"):
            source = made.project.parent / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
        shutil.copytree(made.project, folder / "project")
        run(folder / "project", "train.py", "--new")

    return once(shared / "undisturbed", make) / "project"


def test_new_starts_another_run(undisturbed: Path) -> None:
    assert sorted(path.name for path in (undisturbed / "runs").iterdir()) == ["1", "2"]
    assert of_kind(events(undisturbed, 2), "start")[0]["resumed_from"] is None


def test_a_resumed_run_ends_as_an_undisturbed_one(undisturbed: Path, trained: Find) -> None:
    resumed = trained("lora").project / "runs" / "1" / "final" / "adapter_model.safetensors"
    whole = undisturbed / "runs" / "2" / "final" / "adapter_model.safetensors"
    assert resumed.read_bytes() == whole.read_bytes()


def test_its_log_is_the_same_step_for_step(undisturbed: Path, trained: Find) -> None:
    shown = []
    for found in (events(trained("lora").project), events(undisturbed, 2)):
        keys = ("step", "loss", "grad_norm", "learning_rate", "tokens")
        shown.append([[event.get(key) for key in keys] for event in of_kind(found, "step")])
    assert shown[0] == shown[1]


def copy(made: Trained, folder: Path) -> Path:
    shutil.copytree(made.project.parent / str(SPECS[made.method]["model"]), folder / "llama")
    for name in ("alpaca.jsonl", "alpaca-eval.jsonl"):
        shutil.copy(made.project.parent / name, folder / name)
    return Path(shutil.copytree(made.stopped, folder / "project"))


def test_a_damaged_checkpoint_is_passed_over(trained: Find, tmp_path: Path) -> None:
    """The newest has a flipped bit; the command line's constants are taken."""
    project = copy(trained("lora"), tmp_path)
    checkpoints = sorted(
        (project / "runs" / "1").glob("checkpoint-*"), key=lambda path: int(path.name[11:])
    )
    assert len(checkpoints) == 2
    damaged = checkpoints[-1] / "optimizer.pt"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    options = ["--resume", "--micro-batch", "1", "--accumulation", "4", "--eval-batch", "3"]
    shown = run(project, "train.py", *options).stdout
    assert f"{checkpoints[-1].name} is not whole" in shown
    start = of_kind(events(project), "start")[-1]
    assert start["resumed_from"] == checkpoints[0].name
    assert (start["micro_batch"], start["accumulation"], start["effective_batch"]) == (1, 4, 4)
    assert events(project)[-1]["event"] == "end"


def test_without_a_whole_checkpoint_it_starts_anew(trained: Find, tmp_path: Path) -> None:
    """No manifest, and a manifest that is no JSON; it then runs out of memory, for brevity."""
    project = copy(trained("lora"), tmp_path)
    first, second = sorted((project / "runs" / "1").glob("checkpoint-*"))
    (first / "manifest.json").unlink()
    (second / "manifest.json").write_text("{")
    spy(project, tmp_path / "report.json", "train.py", check=76, SPY_OOM="train")
    found = events(project)
    assert of_kind(found, "start")[-1]["resumed_from"] is None
    assert found[-1]["event"] == "out-of-memory" and found[-1]["phase"] == "train"
    assert "CUDA out of memory" in found[-1]["message"]
