"""NVIDIA's cards in this machine, as CUDA would show them, through the driver's library NVML."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ftspec.compiler.facts.gpus import Gpu, find_gpu
from ftspec.compiler.facts.hardware import Card
from ftspec.runtime.visible import Device, visible

FREE_STEP = 256 * 2**20  # bytes
UNKNOWN_BANDWIDTH = 300e9  # bytes a second; a card that the catalogue lacks is taken to be modest
UNKNOWN_FLOPS = 30e12
LIBRARY = "libnvidia-ml.so.1"  # what pynvml loads on Linux
NO_DRIVER = ("NVMLError_LibraryNotFound", "NVMLError_DriverNotLoaded")


@dataclass(frozen=True, slots=True)
class Found:
    """The cards that CUDA would see, and what is to be said of them."""

    cards: tuple[Card, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Driver:
    """The driver's version, and the newest CUDA that it runs, such as `13.0`."""

    version: str
    cuda: str


def detect() -> Found:
    """Return the cards. Without them the note says why: no driver, no card, an error's name."""
    if not library_is_here():
        return Found(note="no NVIDIA driver")
    try:
        return _found()
    except Exception as error:  # the driver's library raises many kinds, and not only its own
        name = type(error).__name__
        if name in NO_DRIVER:
            return Found(note="no NVIDIA driver")
        return Found(note=f"NVML does not answer ({name})")


def driver() -> Driver | None:
    """Return the driver's versions, or None where there is no driver."""
    if not library_is_here():
        return None
    import pynvml

    try:
        pynvml.nvmlInit()
        try:
            number = int(pynvml.nvmlSystemGetCudaDriverVersion())
            version = _text(pynvml.nvmlSystemGetDriverVersion())
        finally:
            pynvml.nvmlShutdown()
    except Exception:  # as above; there is nothing to tell then
        return None
    return Driver(version, f"{number // 1000}.{number % 1000 // 10}")


def library_is_here() -> bool:
    """Say whether the driver's library loads: on Linux a fraction of the time of asking pynvml."""
    if not sys.platform.startswith("linux"):
        return True
    import ctypes

    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return False
    return True


def _found() -> Found:
    import pynvml

    pynvml.nvmlInit()
    try:
        devices = tuple(_devices())
        seen, note = visible(devices)
        cards = tuple(_card(device) for device in seen)
    finally:
        pynvml.nvmlShutdown()
    return Found(cards, note if devices else "no NVIDIA card")


def _devices() -> Iterator[Device]:
    """Yield every card, each with its MIG slices."""
    import pynvml

    for index in range(pynvml.nvmlDeviceGetCount()):
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        uuid = _text(_asked(pynvml.nvmlDeviceGetUUID, handle) or "")
        mode = _asked(pynvml.nvmlDeviceGetMigMode, handle)
        cut = bool(mode and mode[0])
        card = Device(handle, uuid, index, cut=cut)
        yield replace(card, slices=tuple(_slices(card))) if cut else card


def _slices(card: Device) -> Iterator[Device]:
    import pynvml

    for index in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(card.handle)):
        handle = _asked(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, card.handle, index)
        if handle is None:
            continue
        numbers = (
            _asked(pynvml.nvmlDeviceGetGpuInstanceId, handle),
            _asked(pynvml.nvmlDeviceGetComputeInstanceId, handle),
        )
        old_name = f"MIG-{card.uuid}/{numbers[0]}/{numbers[1]}"
        uuid = _text(_asked(pynvml.nvmlDeviceGetUUID, handle) or "")
        yield Device(handle, uuid, index, parent=card.handle, old_name=old_name)


def _asked(question: Any, *arguments: Any) -> Any:
    """Ask NVML something that not every card or driver answers; None where it does not."""
    try:
        return question(*arguments)
    except Exception:  # NotSupported, NotFound, FunctionNotFound: kinds made at run time
        return None


def _card(device: Device) -> Card:
    import pynvml

    name = _text(pynvml.nvmlDeviceGetName(device.handle))
    asked = device.parent or device.handle
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(asked)
    total, kept, free = _memory(device.handle)
    known = find_gpu(name)
    gpu = Gpu(
        name=name,
        usable_bytes=total - kept,
        bandwidth=known.bandwidth if known else UNKNOWN_BANDWIDTH,
        bf16_flops=known.bf16_flops if known else (UNKNOWN_FLOPS if major >= 8 else None),
        fp16_flops=known.fp16_flops if known else UNKNOWN_FLOPS,
        capability=(int(major), int(minor)),
        source="NVML" if known else "NVML; not in the catalogue, taken to be a modest card",
        measured_memory=True,
        total_bytes=total,
    )
    # Rounded down, so that a few MiB that come and go do not make another plan of one spec.
    rounded = free // FREE_STEP * FREE_STEP
    return Card(gpu, rounded, tuple(_holders(device.handle, total - kept - free)))


def _memory(handle: Any) -> tuple[int, int, int]:
    """Return (total, kept by the driver, free) in bytes; of unified memory, the host's."""
    import pynvml

    version = getattr(pynvml, "nvmlMemory_v2", None)
    told = _asked(pynvml.nvmlDeviceGetMemoryInfo, handle, version) if version else None
    if told is not None:
        return int(told.total), int(told.reserved), int(told.free)
    told = _asked(pynvml.nvmlDeviceGetMemoryInfo, handle)
    if told is not None:  # an older driver does not say what it keeps
        return int(told.total), 0, int(told.free)
    import psutil  # a GB10 has no memory of its own

    host = psutil.virtual_memory()
    return host.total, 0, host.available


def _holders(handle: Any, used: int) -> Iterator[tuple[str, int]]:
    """Yield who holds how many bytes of a card; what no process owns up to comes last."""
    import pynvml

    sizes: dict[int, int] = {}
    for question in (
        "nvmlDeviceGetComputeRunningProcesses",
        "nvmlDeviceGetGraphicsRunningProcesses",
    ):
        for process in _asked(getattr(pynvml, question, None), handle) or ():
            size = int(process.usedGpuMemory or 0)
            sizes[process.pid] = max(size, sizes.get(process.pid, 0))
    yield from ((f"{_name_of(pid)} ({pid})", size) for pid, size in sizes.items())
    rest = used - sum(sizes.values())
    if rest >= FREE_STEP:
        yield "programs that are not shown here", rest


def _name_of(pid: int) -> str:
    import psutil

    try:
        return psutil.Process(pid).name()
    except (psutil.Error, ValueError):
        return "a process"


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)
