"""The supervisor on emitted scripts as they are: out of memory, other code, Ctrl-C."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from compiling import build
from projects import environment, events, of_kind, run
from survival import FAULTS, SAVE_EVERY, SPEC
from tiny import rows_of, write_rows

from ftspec.runtime.events import Event
from ftspec.runtime.recompile import quantized
from ftspec.runtime.state import RunFolder, read_ledger
from ftspec.runtime.supervise import supervise

STEPS = 3 * SAVE_EVERY


@pytest.fixture
def project(tmp_path: Path, sources: Path) -> Path:
    shutil.copytree(sources / "llama", tmp_path / "llama")
    for name in ("alpaca.jsonl", "alpaca-eval.jsonl"):
        shutil.copy(sources / name, tmp_path / name)
    train = {**SPEC["train"], "max_steps": STEPS, "activation_checkpointing": False}
    train |= {"eval_batch_size": 4}
    build({**SPEC, "train": train}, tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def faulty(project: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What the supervisor's children see: offline, and the layer that injects faults."""
    for name, value in environment(project.parent).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(FAULTS))
    return monkeypatch


class Silent:
    def event(self, event: Event) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def close(self) -> None:
        pass


def test_out_of_memory_goes_on_with_the_next_rungs(
    project: Path, faulty: pytest.MonkeyPatch
) -> None:
    """With micro-batches of more than one row no step after the fifth fits."""
    fault = {"oom": "train", "at": SAVE_EVERY + 2, "above": 1}
    faulty.setenv("FAULT", json.dumps(fault))
    ended = supervise(project, Silent())
    assert ended.state == "finished", ended.words
    records = read_ledger(ended.run)["attempts"]
    assert [record["exit"] for record in records] == [76, 76, 0]
    assert records[2]["constants"] == {
        "activation_checkpointing": True,
        "micro_batch": 1,
        "accumulation": 4,
    }
    started = of_kind(events(project), "start")
    assert [event["effective_batch"] for event in started] == [4, 4, 4]
    assert [event["resumed_from"] for event in started[1:]] == [f"checkpoint-{SAVE_EVERY}"] * 2
    steps = [event["step"] for event in of_kind(events(project), "step")]
    again = SAVE_EVERY + 1
    assert steps == [*range(1, again + 1), again, *range(again, STEPS + 1)]
    rates = {event["step"]: event["learning_rate"] for event in of_kind(events(project), "step")}
    assert sorted(rates.values(), reverse=True) != [], "the schedule is one over all attempts"
    late = [rates[step] for step in range(2, STEPS + 1)]
    assert late == sorted(late, reverse=True)


def test_out_of_memory_in_evaluation_leaves_training_as_it_is(
    project: Path, faulty: pytest.MonkeyPatch
) -> None:
    faulty.setenv("FAULT", json.dumps({"oom": "evaluate", "above": 2}))
    ended = supervise(project, Silent())
    assert ended.state == "finished", ended.words
    assert [record["constants"] for record in read_ledger(ended.run)["attempts"]] == [
        {},
        {"eval_batch": 2},
    ]
    assert {event["micro_batch"] for event in of_kind(events(project), "start")} == {2}


def test_other_code_goes_on_in_the_same_run(project: Path) -> None:
    """Stopped as LoRA on a plain base, it is trained to the end on a base in 4 bits."""
    folder = project / "runs/1"
    env = {"PYTHONPATH": str(FAULTS), "FAULT": json.dumps({"term_in_save": 2})}
    run(project, "train.py", check=75, **env)
    stopped = of_kind(events(project), "checkpoint")
    made = quantized(project, RunFolder(folder, 1), 2)
    assert made is not None and made.folder == folder / "attempt-2"
    before = (project / "train.py").read_bytes()
    run(made.folder, "train.py", "--resume")
    assert (project / "train.py").read_bytes() == before
    started = of_kind(events(project), "start")
    assert started[1]["resumed_from"] == stopped[-1]["path"]
    assert events(project)[-1]["event"] == "end"
    assert not (project / "runs/2").exists() and not (made.folder / "runs").exists()
    assert "load_in_4bit=True" in (made.folder / "train.py").read_text()


def test_edited_scripts_are_left_alone(project: Path) -> None:
    script = project / "train.py"
    script.write_text(script.read_text() + "# mine\n")
    made = quantized(project, RunFolder(project / "runs/1", 1), 2)
    assert made is not None and made.folder is None
    assert made.edited == ("train.py",)
    assert "+        quantization_config=BitsAndBytesConfig(\n" in made.difference
    assert not (project / "runs").exists()


def test_evaluating_without_memory_is_76(project: Path) -> None:
    final = project / "runs/1/final"
    final.mkdir(parents=True)
    (final / "adapter_config.json").write_text("{}")
    text = (project / "evaluate.py").read_text()
    fails = 'raise torch.OutOfMemoryError("CUDA out of memory.")\n'
    text = text.replace("def load_tokenizer():", "def load_tokenizer():\n    " + fails, 1)
    (project / "evaluate.py").write_text(text)
    assert "out of gpu memory" in run(project, "evaluate.py", check=76).stderr


# Ctrl-C by hand


def start(project: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "train.py"],
        cwd=project,
        env=environment(project.parent),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_ctrl_c_while_it_imports_is_no_traceback(project: Path) -> None:
    child = start(project)
    time.sleep(1.0)
    os.kill(child.pid, signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == -signal.SIGINT
    assert "Traceback" not in err


def test_ctrl_c_over_and_over_is_one_checkpoint(project: Path) -> None:
    child = start(project)
    file = project / "runs/1/events.jsonl"
    while not (file.exists() and '"step", "time"' in file.read_text()):
        assert child.poll() is None
        time.sleep(0.01)
    while child.poll() is None:
        os.kill(child.pid, signal.SIGINT)
        time.sleep(0.02)
    _, err = child.communicate()
    assert child.returncode in (0, 75), "0 where it was through with its few steps"
    assert "Traceback" not in err
    assert events(project)[-1]["event"] in ("stop", "end")


def test_a_second_process_is_kept_out_of_a_run(project: Path) -> None:
    import fcntl

    (project / "runs/1").mkdir(parents=True)
    with (project / "runs/1/.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "another process trains" in run(project, "train.py", check=78).stderr


def test_what_grants_access_is_in_no_event(project: Path) -> None:
    token = "hf_MadeUpForThisTestAlone"
    write_rows(project.parent / "alpaca.jsonl", rows_of("alpaca", 3))
    text = (project / "train.py").read_text()
    fails = f'raise ValueError("401 for https://me:pw@hub/x?token={token} with {token}")'
    (project / "train.py").write_text(
        text.replace("    tokenizer = load_tokenizer()", f"    {fails}")
    )
    run(project, "train.py", check=78, HF_TOKEN=token)
    (failure,) = events(project)
    assert failure["event"] == "failure"
    assert failure["message"] == "401 for https://***@hub/x?*** with ***"
