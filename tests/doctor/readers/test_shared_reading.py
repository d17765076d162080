"""The logs of strangers in ../shared/logs: as many records as their index says, or more right.

`OTHERWISE` has what is read differently from the index, and why.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from ftspec.doctor.curves.log import Log
from ftspec.doctor.curves.readers import read

NANO = "jackokeefe11__nanoGPT/wandb/run-"
OTHERWISE = {
    # the estimates with a held-out loss are evaluations, not records beside the iterations
    f"{NANO}20240214_191536-0i9gvcxo/files/output.log": (98, 4),
    f"{NANO}20240215_012725-vgpqdf1r/files/output.log": (501, 21),
    f"{NANO}20240215_021211-iy4y4j7m/files/output.log": (501, 21),
    f"{NANO}20240214_195452-kt2awly2/files/output.log": (501, 21),
    f"{NANO}20240215_023758-f656tyfr/files/output.log": (1, 1),
    f"{NANO}20240215_023841-7971r6pa/files/output.log": (1, 1),
    f"{NANO}20240215_154329-r01w7b78/files/output.log": (1, 1),
    f"{NANO}20240216_065242-ibal0bht/files/output.log": (1, 1),
    # the last row is the run's summary: its average over the run is no record
    "nhanhqq__LLMonVNSailor2/training_logs.csv": (100, 0),
    "tasfiahmrinmoyee__Gemma3-1B-Instruct-outputs/training_logs.json": (75, 19),
    # 263 printed steps with a held-out loss each, and 60 evaluations printed as dicts
    "BaarTeek123__llms_finetuning/logs/app.log": (263, 323),
    # iterations that log a gradient norm and no loss
    "_issue_excerpts/megatron-deepspeed-396_gradnan_no_loss.txt": (3, 0),
}


@pytest.fixture
def index(shared_logs: Path) -> list[dict[str, str]]:
    with (shared_logs / "INDEX.tsv").open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_the_numbers_of_records_are_those_of_the_index(index, shared_logs: Path) -> None:
    wrong = []
    for row in index:
        run = read(Log.of_path(shared_logs / row["file"]))
        found = len(run.train), len(run.evals)
        expected = int(row["train_records"]), int(row["eval_records"])
        if found != OTHERWISE.get(row["file"], expected):
            wrong.append((row["file"], found, expected))
    assert wrong == []


def test_out_of_memory_is_seen_with_its_phase(index, shared_logs: Path) -> None:
    phases = {}
    for row in index:
        run = read(Log.of_path(shared_logs / row["file"]))
        seen = [event.phase for event in run.events if event.kind == "out-of-memory"]
        if seen or row["label"] == "oom":
            phases[row["file"]] = seen[:1]
    assert len(phases) == 6
    assert all(phase == ["train"] for phase in phases.values()), phases
