"""The supervisor on a plan for two cards: two ranks on the CPU, by torch's own launcher.

The emitted script is for CUDA; of it three words are changed, so that its ranks meet by gloo.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from compiling import build
from projects import environment, events, of_kind
from survival import FAULTS, SAVE_EVERY, SPEC
from test_supervised import Silent

from ftspec.compiler.facts.gpus import find_gpu
from ftspec.compiler.facts.hardware import named
from ftspec.runtime.state import read_ledger
from ftspec.runtime.supervise import supervise

STEPS = 2 * SAVE_EVERY
# Stands in for accelerate's launcher, whose words it is given: that one wants cards.
LAUNCH = """\
import sys
from torch.distributed.run import main

at = next(place for place, word in enumerate(sys.argv) if word.endswith("train.py"))
count = sys.argv[sys.argv.index("--num_processes") + 1]
main(["--standalone", "--nproc_per_node", count, *sys.argv[at:]])
"""


@pytest.fixture
def project(tmp_path: Path, sources: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(sources / "llama", tmp_path / "llama")
    for name in ("alpaca.jsonl", "alpaca-eval.jsonl"):
        shutil.copy(sources / name, tmp_path / name)
    card = find_gpu("h100")
    assert card is not None
    train = {**SPEC["train"], "max_steps": STEPS, "activation_checkpointing": True}
    project = tmp_path / "project"
    build({**SPEC, "train": train}, project, named(card, 2))
    script = project / "train.py"
    text = script.read_text(encoding="utf-8")
    for cuda, cpu in (
        ("bf16=True,", "use_cpu=True,"),
        ("PartialState()", "PartialState(cpu=True)"),
    ):
        assert cuda in text
        text = text.replace(cuda, cpu)
    script.write_text(text, encoding="utf-8")
    (tmp_path / "launch.py").write_text(LAUNCH, encoding="utf-8")
    (tmp_path / "python").write_text(
        f'#!/bin/sh\nexec {sys.executable} {tmp_path / "launch.py"} "$@"\n', encoding="utf-8"
    )
    (tmp_path / "python").chmod(0o755)
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(FAULTS))
    return project


def test_a_rank_that_is_short_of_memory_is_a_next_rung_for_all(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = {"oom": "train", "at": SAVE_EVERY + 2, "above": 1}
    monkeypatch.setenv("FAULT", json.dumps(fault))
    ended = supervise(project, Silent(), python=str(project.parent / "python"))
    assert ended.state == "finished", ended.words
    records = read_ledger(ended.run)["attempts"]
    assert [record["exit"] for record in records] == [76, 0]  # the launcher's own code is 1
    assert records[1]["constants"] == {"micro_batch": 1, "accumulation": 4}
    assert [record["resumed_from"] for record in records] == [None, f"checkpoint-{SAVE_EVERY}"]
    started = of_kind(events(project), "start")
    assert [event["effective_batch"] for event in started] == [8, 8]
    newest = project / f"runs/1/checkpoint-{STEPS}"
    assert sorted(path.name for path in newest.glob("rng_state_*")) == [
        "rng_state_0.pth",
        "rng_state_1.pth",
    ]


def test_one_rank_that_is_asked_to_stop_stops_all(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULT", json.dumps({"term_in_save": 2}))
    python = str(project.parent / "python")
    first = supervise(project, Silent(), python=python)
    assert (first.state, first.exit) == ("stopped", 75), first.words
    stopped = of_kind(events(project), "stop")[-1]["step"]
    monkeypatch.setenv("FAULT", "{}")
    assert supervise(project, Silent(), python=python).state == "finished"
    assert of_kind(events(project), "start")[-1]["resumed_from"] == f"checkpoint-{stopped}"
