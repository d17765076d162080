"""Detection of the hardware, on machines made of a stand-in for NVIDIA's library."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace

import psutil
import pytest

from ftspec.compiler.facts.hardware import Hardware
from ftspec.runtime.hardware import detect

GIB = 2**30


class NVMLError_LibraryNotFound(Exception):
    """As pynvml names it where there is no driver."""


class NVMLError_Unknown(Exception):
    """As pynvml names what it has no name for."""


@dataclass
class Board:
    name: str | bytes
    total: int = 24 * GIB
    free: int = 23 * GIB
    capability: tuple[int, int] = (8, 9)
    processes: list[SimpleNamespace] = field(default_factory=list)


@dataclass
class Machine:
    """The cards that the stand-in reports; `error` is raised when it is opened."""

    boards: list[Board]
    error: Exception | None = None
    closed: int = 0

    def open(self) -> None:
        if self.error:
            raise self.error

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine([])
    fake = ModuleType("pynvml")
    calls = {
        "nvmlInit": found.open,
        "nvmlShutdown": found.close,
        "nvmlDeviceGetCount": lambda: len(found.boards),
        "nvmlDeviceGetHandleByIndex": lambda index: found.boards[index],
        "nvmlDeviceGetName": lambda board: board.name,
        "nvmlDeviceGetMemoryInfo": lambda board: board,
        "nvmlDeviceGetCudaComputeCapability": lambda board: board.capability,
        "nvmlDeviceGetComputeRunningProcesses": lambda board: board.processes,
    }
    for name, call in calls.items():
        setattr(fake, name, call)
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return found


def names(hardware: Hardware) -> list[str]:
    return [card.gpu.name for card in hardware.cards]


def test_a_machine_without_cards(machine: Machine) -> None:
    found = detect()
    assert (found.cards, found.note, found.detected) == ((), "no NVIDIA card", True)
    assert found.gpu is None
    assert found.free_bytes == found.host_bytes > 0
    assert found.cores >= 1
    assert machine.closed == 1


def test_a_machine_without_a_driver(machine: Machine) -> None:
    machine.error = NVMLError_LibraryNotFound()
    assert detect().note == "no NVIDIA driver"
    machine.error = NVMLError_Unknown()
    assert detect().note == "NVML does not answer (NVMLError_Unknown)"
    assert detect().cards == ()


def test_a_known_card(machine: Machine) -> None:
    machine.boards = [Board(b"NVIDIA GeForce RTX 4090", 25757220864, 25 * 10**9)]
    found = detect()
    assert names(found) == ["NVIDIA GeForce RTX 4090"]
    assert found.note == ""
    gpu = found.gpu
    assert gpu is not None
    assert (gpu.usable_bytes, gpu.source, gpu.measured_memory) == (25757220864, "NVML", True)
    assert (gpu.bandwidth, gpu.bf16) == (1008e9, True)
    assert found.free_bytes == 23 * 2**30 + 2**28  # 23.28 GiB, rounded down to a quarter


def test_an_unknown_card_is_taken_to_be_modest(machine: Machine) -> None:
    machine.boards = [Board("NVIDIA Abacus 9000", capability=(12, 0))]
    gpu = detect().gpu
    assert gpu is not None
    assert (gpu.name, gpu.bandwidth, gpu.bf16_flops) == ("NVIDIA Abacus 9000", 300e9, 30e12)
    machine.boards = [Board("NVIDIA Abacus 1", capability=(7, 0))]
    old = detect().gpu
    assert old is not None
    assert (old.bf16, old.bf16_flops) == (False, None)


def test_the_fullest_card_decides(machine: Machine) -> None:
    machine.boards = [
        Board("NVIDIA A100-SXM4-80GB", free=70 * GIB),
        Board("NVIDIA A10", free=5 * GIB),
    ]
    assert detect().free_bytes == 5 * GIB
    assert names(detect()) == ["NVIDIA A100-SXM4-80GB", "NVIDIA A10"]


@pytest.mark.parametrize(
    ("asked", "indices"),
    [
        ("", []),
        ("-1", []),
        ("0", [0]),
        ("1", [1]),
        ("1,0", [1, 0]),
        (" 2 , 1", [2, 1]),
        ("0,-1,1", [0]),
        ("0,7,1", [0]),
        ("0,0", [0]),
        ("NoDevFiles", []),
        ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", [0, 1, 2]),
        ("MIG-GPU-8932f937/1/0", [0, 1, 2]),
    ],
)
def test_what_cuda_would_see(
    asked: str, indices: list[int], machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.boards = [Board(f"card {index}") for index in range(3)]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", asked)
    assert names(detect()) == [f"card {index}" for index in indices]


def test_those_who_hold_the_rest_are_named(machine: Machine) -> None:
    mine = os.getpid()
    machine.boards = [
        Board(
            "NVIDIA A10",
            processes=[
                SimpleNamespace(pid=mine, usedGpuMemory=GIB),
                SimpleNamespace(pid=2**22 + 1, usedGpuMemory=None),
            ],
        )
    ]
    (card,) = detect().cards
    own = psutil.Process(mine).name()
    assert card.held_by == ((f"{own} ({mine})", GIB), (f"a process ({2**22 + 1})", 0))
