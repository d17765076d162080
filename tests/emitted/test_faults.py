"""Faults in emitted scripts as they are: killed, full disks, NaN, damaged checkpoints."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from compiling import build
from projects import events, of_kind, once
from survival import (
    SAVE_EVERY,
    SPEC,
    STEPS,
    final_weights,
    go_through,
    train,
    whole_checkpoints,
    whole_events,
)


def make(folder: Path, sources: Path, spec: dict[str, Any] = SPEC) -> Path:
    """Build the project in a folder of its own, model and data beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(sources / "llama", folder / "llama")
    for name in ("alpaca.jsonl", "alpaca-eval.jsonl"):
        shutil.copy(sources / name, folder / name)
    build(spec, folder / "project")
    return folder / "project"


@pytest.fixture(scope="module")
def undisturbed(shared: Path, sources: Path) -> bytes:
    """The weights of a run that nothing happens to."""

    def run(folder: Path) -> None:
        assert train(make(folder, sources)).returncode == 0

    return final_weights(once(shared / "untroubled", run) / "project")


@pytest.fixture
def project(tmp_path: Path, sources: Path) -> Path:
    return make(tmp_path, sources)


def test_killed_at_five_moments_it_ends_with_the_same_weights(
    project: Path, undisturbed: bytes
) -> None:
    """Three of them inside a save: between two files, and in the middle of one."""
    faults = [
        ({"kill_at_file": 21}, None),
        ({}, 0.0),
        ({"kill_in_save": 6}, None),
        ({}, 0.2),
        ({"kill_at_file": 34}, None),
    ]
    fates = go_through(project, faults)
    assert [fate.code for fate in fates] == [-9] * 5
    assert all(fate.lost <= SAVE_EVERY for fate in fates), fates
    assert final_weights(project) == undisturbed
    assert whole_checkpoints(project) == [f"checkpoint-{STEPS - SAVE_EVERY}", f"checkpoint-{STEPS}"]


def test_a_request_to_stop_in_the_middle_of_a_save(project: Path, undisturbed: bytes) -> None:
    (fate,) = go_through(project, [({"term_in_save": 2}, None)])
    assert fate.code == 75
    assert fate.lost == 0
    assert final_weights(project) == undisturbed


def test_a_disk_that_fills_in_a_save(project: Path, undisturbed: bytes) -> None:
    (fate,) = go_through(
        project, [({"full_in_save": 5}, None)]
    )  # the first of the second checkpoint
    assert fate.code == 79
    assert (fate.reached, fate.resumed) == (2 * SAVE_EVERY, SAVE_EVERY)
    assert final_weights(project) == undisturbed


def test_a_disk_without_room_is_seen_before_a_save(project: Path, undisturbed: bytes) -> None:
    (fate,) = go_through(project, [({"free_bytes": 1000}, None)])
    assert fate.code == 79
    (full,) = of_kind(events(project), "disk-full")
    assert full["step"] == SAVE_EVERY and full["free_bytes"] == 1000 < full["need_bytes"]
    assert final_weights(project) == undisturbed


def test_a_small_disk_that_is_really_full(project: Path, undisturbed: bytes) -> None:
    """A file system of its own, of 64 KiB; made larger, the run goes on."""
    runs = project / "runs"
    runs.mkdir()
    if not mounted(runs, "size=64k"):
        pytest.skip("no file system can be mounted here")
    try:
        assert train(project).returncode == 79
        assert not whole_checkpoints(project)
        assert mounted(runs, "remount,size=64m")
        assert train(project).returncode == 0
        assert final_weights(project) == undisturbed
    finally:
        subprocess.run(["umount", "--lazy", runs], check=True)


def mounted(folder: Path, options: str) -> bool:
    """Mount a file system in memory, or change it; False where this is not allowed."""
    mount = shutil.which("mount")
    if mount is None:
        return False
    command = [mount, "-t", "tmpfs", "-o", options, "tmpfs", folder]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_weights_that_are_not_finite_are_never_sealed(project: Path, undisturbed: bytes) -> None:
    """They become NaN two steps before a save; nobody logs in between, as it were."""
    (fate,) = go_through(project, [({"nan_at": SAVE_EVERY + 2}, None)])
    assert fate.code == 77
    assert fate.resumed == SAVE_EVERY
    assert final_weights(project) == undisturbed


def test_a_clock_that_goes_back_moves_nothing(project: Path, undisturbed: bytes) -> None:
    assert train(project, {"clock": 5}).returncode == 0
    rates = [event["tokens_per_second"] for event in of_kind(whole_events(project), "step")]
    assert len(rates) == STEPS
    assert final_weights(project) == undisturbed


@pytest.mark.parametrize(
    ("says", "where"),
    [
        ("CUDA out of memory. Tried to allocate 20.00 MiB.", "gpu"),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", "gpu"),
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.", "host"),
        ("MemoryError", "host"),
    ],
)
def test_memory_that_runs_out_while_the_optimizer_is_made(
    says: str, where: str, project: Path
) -> None:
    assert train(project, {"oom": "load", "says": says}).returncode == 76
    last = whole_events(project)[-1]
    assert (last["event"], last["phase"], last["where"]) == ("out-of-memory", "load", where)


def test_memory_that_runs_out_in_a_save(project: Path) -> None:
    assert train(project, {"oom": "save"}).returncode == 76
    assert whole_events(project)[-1]["phase"] == "save"


def test_early_stopping_counts_on_over_a_stop(tmp_path: Path, sources: Path) -> None:
    """No gain is ever enough: it ends at the third evaluation, resumed or not, and so again."""
    train_spec = {**SPEC["train"], "early_stopping": {"patience": 2, "min_delta": 50}}
    project = make(tmp_path, sources, {**SPEC, "train": train_spec})
    fates = go_through(project, [({"term_in_save": 6}, None), ({"kill_final": True}, None)])
    assert [fate.code for fate in fates] == [75, -9]
    last = 3 * SAVE_EVERY
    assert fates[1].reached == last
    assert (project / "runs/1/final").is_dir()
    assert events(project)[-1]["step"] <= last + 1
    held_out = [event["step"] for event in of_kind(events(project), "eval")]
    assert held_out == [SAVE_EVERY, 2 * SAVE_EVERY, last]
    # The loss falls all the time, by less than asked for: the last evaluated weights are the best.
    best = project / f"runs/1/checkpoint-{last}/adapter_model.safetensors"
    assert final_weights(project) == best.read_bytes()
