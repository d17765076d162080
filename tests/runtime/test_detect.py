"""Detection of the hardware, on machines made of a stand-in for NVIDIA's library."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import psutil
import pytest

from ftspec.compiler.facts.hardware import Hardware
from ftspec.compiler.memory import corrections
from ftspec.runtime import nvidia, unmeasured
from ftspec.runtime.hardware import detect, host_bytes

GIB = 2**30
MIB = 2**20
NO_PID = 2**22 + 1


class NVMLError_LibraryNotFound(Exception):
    """As pynvml names it where there is no driver."""


class NVMLError_Unknown(Exception):
    """As pynvml names what it has no name for."""


class NVMLError_NotSupported(Exception):
    """As pynvml names what a card does not answer."""


@dataclass(eq=False)
class Board:
    name: str | bytes
    total: int = 24 * GIB
    free: int = 23 * GIB
    reserved: int = 0
    capability: tuple[int, int] | None = (8, 9)
    uuid: str = ""
    processes: list[SimpleNamespace] = field(default_factory=list)
    windows: list[SimpleNamespace] = field(default_factory=list)
    slices: list[Board] | None = None  # None: MIG is off
    instance: int = 0
    unified: bool = False


@dataclass
class Machine:
    """The cards that the stand-in reports; `error` is raised when it is opened."""

    boards: list[Board]
    error: Exception | None = None
    closed: int = 0
    old_driver: bool = False

    def open(self) -> None:
        if self.error:
            raise self.error

    def close(self) -> None:
        self.closed += 1

    def memory(self, board: Board, version: int | None = None) -> SimpleNamespace:
        if board.unified or (version and self.old_driver):
            raise NVMLError_NotSupported
        told = {"total": board.total, "free": board.free}
        return SimpleNamespace(**told | ({"reserved": board.reserved} if version else {}))

    def slice_of(self, board: Board, index: int) -> Board:
        if board.slices is None or index >= len(board.slices):
            raise NVMLError_NotSupported
        return board.slices[index]


def mig_mode(board: Board) -> list[int]:
    if board.slices is None and "A100" not in str(board.name):
        raise NVMLError_NotSupported
    return [int(board.slices is not None)] * 2


def capability(board: Board) -> tuple[int, int]:
    if board.capability is None:
        raise NVMLError_NotSupported
    return board.capability


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine([])
    fake = ModuleType("pynvml")
    calls: dict[str, Callable[..., Any]] = {
        "nvmlInit": found.open,
        "nvmlShutdown": found.close,
        "nvmlDeviceGetCount": lambda: len(found.boards),
        "nvmlDeviceGetHandleByIndex": lambda index: found.boards[index],
        "nvmlDeviceGetName": lambda board: board.name,
        "nvmlDeviceGetUUID": lambda board: board.uuid,
        "nvmlDeviceGetMemoryInfo": found.memory,
        "nvmlDeviceGetCudaComputeCapability": capability,
        "nvmlDeviceGetComputeRunningProcesses": lambda board: board.processes,
        "nvmlDeviceGetGraphicsRunningProcesses": lambda board: board.windows,
        "nvmlDeviceGetMigMode": mig_mode,
        "nvmlDeviceGetMaxMigDeviceCount": lambda board: 7,
        "nvmlDeviceGetMigDeviceHandleByIndex": found.slice_of,
        "nvmlDeviceGetGpuInstanceId": lambda board: board.instance,
        "nvmlDeviceGetComputeInstanceId": lambda board: 0,
        "nvmlSystemGetDriverVersion": lambda: b"580.159.04",
        "nvmlSystemGetCudaDriverVersion": lambda: 13000,
    }
    for name, call in calls.items():
        setattr(fake, name, call)
    fake.nvmlMemory_v2 = 2  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.setattr(nvidia, "library_is_here", lambda: True)
    monkeypatch.setattr(unmeasured, "detect", lambda: ())
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
    assert nvidia.driver() is None
    machine.error = NVMLError_Unknown()
    assert detect().note == "NVML does not answer (NVMLError_Unknown)"
    assert detect().cards == ()


def test_a_machine_without_the_drivers_library(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvidia, "library_is_here", lambda: False)
    machine.boards = [Board("never asked")]
    assert detect().note == "no NVIDIA driver"
    assert nvidia.driver() is None
    assert machine.closed == 0


def test_a_library_that_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(nvidia, "LIBRARY", "libno-such-thing.so.1")
    assert not nvidia.library_is_here()


def test_what_else_is_there_counts_only_without_a_card(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unmeasured, "detect", lambda: ("AMD Instinct MI300X (192.0 GiB)",))
    found = detect()
    assert found.note.startswith("no NVIDIA card; AMD Instinct MI300X (192.0 GiB) is here, where")
    assert found.unmeasured == ("AMD Instinct MI300X (192.0 GiB)",)
    machine.boards = [Board("NVIDIA A10")]
    assert (detect().note, detect().unmeasured) == ("", ())


def test_versions(machine: Machine) -> None:
    assert nvidia.driver() == nvidia.Driver("580.159.04", "13.0")


def test_a_known_card(machine: Machine) -> None:
    kept = 483 * MIB
    machine.boards = [Board(b"NVIDIA GeForce RTX 4090", 24564 * MIB, 24000 * MIB, reserved=kept)]
    found = detect()
    assert names(found) == ["NVIDIA GeForce RTX 4090"]
    assert found.note == ""
    gpu = found.gpu
    assert gpu is not None
    assert (gpu.usable_bytes, gpu.total_bytes) == (24081 * MIB, 24564 * MIB)
    assert (gpu.source, gpu.measured_memory) == ("NVML", True)
    assert (gpu.bandwidth, gpu.bf16) == (1008e9, True)
    assert found.free_bytes == 23 * 2**30 + 2**28  # 23.44 GiB, rounded down to a quarter


def test_an_old_driver_does_not_say_what_it_keeps(machine: Machine) -> None:
    machine.old_driver = True
    machine.boards = [Board("NVIDIA A10", 23028 * MIB, 22700 * MIB, reserved=300 * MIB)]
    (card,) = detect().cards
    assert card.gpu.usable_bytes == 23028 * MIB
    assert card.held_by == (("programs that are not shown here", 328 * MIB),)


def test_unified_memory_is_the_hosts(machine: Machine) -> None:
    machine.boards = [Board("NVIDIA GB10", unified=True, capability=(12, 1))]
    (card,) = detect().cards
    assert card.gpu.usable_bytes == psutil.virtual_memory().total
    assert 0 < card.free_bytes <= card.gpu.usable_bytes
    assert card.gpu.bandwidth == 273e9


def test_an_unknown_card_is_taken_to_be_modest(machine: Machine) -> None:
    machine.boards = [Board("NVIDIA Abacus 9000", capability=(12, 0))]
    gpu = detect().gpu
    assert gpu is not None
    assert (gpu.name, gpu.bandwidth, gpu.bf16_flops) == ("NVIDIA Abacus 9000", 300e9, 30e12)
    assert "not in the catalogue" in gpu.source
    machine.boards = [Board("NVIDIA Abacus 1", capability=(7, 0))]
    old = detect().gpu
    assert old is not None
    assert (old.bf16, old.bf16_flops) == (False, None)


def test_the_fullest_and_the_oldest_card_decide(machine: Machine) -> None:
    machine.boards = [
        Board("NVIDIA A100-SXM4-80GB", free=70 * GIB, capability=(8, 0)),
        Board("Tesla T4", free=5 * GIB, capability=(7, 5)),
        Board("Tesla T4", free=6 * GIB, capability=(7, 5)),
    ]
    found = detect()
    assert found.free_bytes == 5 * GIB
    assert names(found) == ["NVIDIA A100-SXM4-80GB", "Tesla T4", "Tesla T4"]
    assert found.gpu is not None and found.gpu.name == "Tesla T4"


UUIDS = ("GPU-8932f937-d72c-4106", "GPU-8930aaaa-0000-0000", "GPU-11111111-0000-0000")


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
        ("GPU-8932f937-d72c-4106", [0]),
        ("gpu-1111", [2]),
        ("GPU-1111,0", [2, 0]),
        ("GPU-893,0", []),  # two cards start so
        ("1,GPU-ffff,0", [1]),
        ("MIG-GPU-8932f937-d72c-4106/1/0", []),
    ],
)
def test_what_cuda_would_see(
    asked: str, indices: list[int], machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.boards = [Board(f"card {index}", uuid=uuid) for index, uuid in enumerate(UUIDS)]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", asked)
    found = detect()
    assert names(found) == [f"card {index}" for index in indices]
    assert ("hides every card" in found.note) is (not indices)


def cut_a100() -> Board:
    """An A100 in two slices; a slice does not tell its compute capability."""
    name = "NVIDIA A100-SXM4-80GB"
    small = Board(f"{name} MIG 1g.10gb", 9728 * MIB, 9716 * MIB, capability=None)
    large = Board(f"{name} MIG 3g.40gb", 40192 * MIB, 40176 * MIB, capability=None)
    small.uuid, large.uuid = "MIG-aaaa1111", "MIG-aaaa2222"
    small.instance, large.instance = 9, 2
    return Board(name, 80 * GIB, capability=(8, 0), uuid="GPU-cccc", slices=[small, large])


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        (None, "1g.10gb"),
        ("1", "1g.10gb"),
        ("GPU-cccc", "1g.10gb"),
        ("MIG-aaaa2222", "3g.40gb"),
        ("MIG-aaaa2222,MIG-aaaa1111", "3g.40gb"),
        ("MIG-GPU-cccc/2/0", "3g.40gb"),
        ("MIG-GPU-cccc/9/0", "1g.10gb"),
    ],
)
def test_one_slice_of_a_cut_card_is_seen(
    asked: str | None, name: str, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.boards = [Board("NVIDIA A100-SXM4-80GB", capability=(8, 0)), cut_a100()]
    if asked is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", asked)
    (card,) = detect().cards
    assert card.gpu.name == f"NVIDIA A100-SXM4-80GB MIG {name}"
    assert card.gpu.capability == (8, 0)
    assert card.gpu.bandwidth < 2039e9
    assert card.free_bytes <= 40176 * MIB


def test_several_slices_are_said(machine: Machine) -> None:
    machine.boards = [cut_a100()]
    assert detect().note == "MIG: a program sees one slice, the first of those that are here"


def test_a_cut_card_without_slices_computes_nothing(machine: Machine) -> None:
    machine.boards = [Board("NVIDIA A100-SXM4-80GB", slices=[])]
    found = detect()
    assert (found.cards, found.note) == ((), "MIG is on, and the card has no slice")


def test_those_who_hold_the_rest_are_named(machine: Machine) -> None:
    mine = os.getpid()
    machine.boards = [
        Board(
            "NVIDIA A10",
            free=20 * GIB,
            processes=[
                SimpleNamespace(pid=mine, usedGpuMemory=GIB),
                SimpleNamespace(pid=NO_PID, usedGpuMemory=None),
            ],
            windows=[SimpleNamespace(pid=mine, usedGpuMemory=MIB)],
        )
    ]
    (card,) = detect().cards
    own = psutil.Process(mine).name()
    assert card.held_by == (
        (f"{own} ({mine})", GIB),
        (f"a process ({NO_PID})", 0),
        ("programs that are not shown here", 3 * GIB),
    )


def test_a_control_group_limits_the_hosts_memory(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    whole = host_bytes(limit)
    assert whole == psutil.virtual_memory().total
    limit.write_text("max\n")
    assert host_bytes(limit) == whole
    limit.write_text(f"{GIB}\n")
    assert host_bytes(limit) == min(GIB, whole)


def test_what_was_measured_here_before_comes_with_the_cards(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTSPEC_CACHE", str(tmp_path))
    monkeypatch.setattr("ftspec.runtime.machine.torch_here", lambda: None)
    kept = corrections.Machine(
        gpu="NVIDIA A10", driver="580.159.04", torch="2.13.0", context_bytes=5 * MIB
    )
    corrections.keep(tmp_path / "machine.json", kept)
    assert detect().machine is None
    machine.boards = [Board("NVIDIA A100")]
    assert detect().machine is None
    machine.boards = [Board("NVIDIA A10")]
    found = detect()
    assert (found.machine, found.known, found.note) == (kept, kept, "")
    assert replace(found, cards=()).known is None
    (tmp_path / "machine.json").write_text("{")
    assert detect().machine is None
    assert "machine.json` is passed over" in detect().note
