"""bench/vram: what the worker records of a project that it runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import prepare
import pytest
import weights
import worker
from vram_case import CASE, GIB, TINY

from ftspec.compiler.facts.hardware import Hardware

# The worker


class FakeCuda:
    """The calls that the worker makes of torch.cuda."""

    def __init__(self) -> None:
        self.now = self.peak = 0

    def take(self, size: int) -> None:
        self.now += size
        self.peak = max(self.peak, self.now)

    def max_memory_allocated(self) -> int:
        return self.peak

    def max_memory_reserved(self) -> int:
        return self.peak + 1

    def reset_peak_memory_stats(self) -> None:
        self.peak = self.now

    def memory_reserved(self) -> int:
        return self.now + 1

    def synchronize(self) -> None:
        pass

    def memory_stats(self) -> dict[str, int]:
        return {"num_alloc_retries": 2, "num_ooms": 0}

    def mem_get_info(self) -> tuple[int, int]:
        return 5, 10


def test_the_phase_of_the_peak_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cuda = FakeCuda()
    monkeypatch.setattr(worker, "_cuda", lambda: cuda)
    monkeypatch.setattr(worker, "process_bytes", lambda: 100)
    record = worker.Record(saves=False)
    for _ in range(2):
        record.phases.enter("forward")
        cuda.take(10)
        record.phases.enter("backward")
        cuda.take(20)
        cuda.take(-25)
    record.phases.enter("log")
    result = record.result(0, tmp_path)
    assert result["phase"] == "backward"
    assert result["allocated"] == 35
    assert result["phases"]["forward"][0] == 15
    assert (result["context"], result["process_end"], result["retries"]) == (89, 100, 2)
    json.dumps(result)


def test_the_cap_counts_the_context(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    shares: list[float] = []
    one = torch.ones(2, 2)
    monkeypatch.setattr(torch, "ones", lambda *_, **__: one)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 2 * GIB)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: None)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", shares.append)
    monkeypatch.setattr(torch._C, "_cuda_clearCublasWorkspaces", lambda: None, raising=False)
    card = SimpleNamespace(total_memory=80 * GIB)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
    monkeypatch.setattr(worker, "process_bytes", lambda: 3 * GIB)
    facts = worker.cap(16 * GIB, None)
    assert shares == [15 / 80]
    assert facts["limit_bytes"] == 15 * GIB
    worker.cap(16 * GIB, 4 * GIB)
    assert shares[-1] == 12 / 80
    monkeypatch.setattr(worker, "process_bytes", lambda: None)
    with pytest.raises(SystemExit):
        worker.cap(16 * GIB, None)


def test_a_project_runs_unchanged_on_the_cpu(tmp_path: Path) -> None:
    prepare.build(CASE, tmp_path, Hardware(), TINY)
    weights.make(tmp_path / "models" / CASE.folder)
    project = tmp_path / "projects" / CASE.id
    script = (project / "train.py").read_bytes()
    done = subprocess.run(
        [sys.executable, worker.__file__, str(project), str(tmp_path / "out.json")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out.json").read_text())
    assert (project / "train.py").read_bytes() == script
    assert result["exit"] == 0
    assert len(result["losses"]) == prepare.STEPS
    assert len(result["eval_losses"]) == 1
    assert result["allocated"] is None
    assert len(result["step_seconds"]) == prepare.STEPS - 1
