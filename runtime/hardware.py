"""Detect the hardware of this machine: NVIDIA cards through NVML, host memory and cores."""

from __future__ import annotations

import itertools
import os

import psutil

from ftspec.compiler.facts.gpus import Gpu, find_gpu
from ftspec.compiler.facts.hardware import Card, Hardware

FREE_STEP = 256 * 2**20  # bytes
UNKNOWN_BANDWIDTH = 300e9  # bytes a second; a card that the catalogue lacks is taken to be modest
UNKNOWN_FLOPS = 30e12


def detect() -> Hardware:
    """Return this machine's hardware. No card, or no driver: the CPU trains, and a note says so."""
    host = psutil.virtual_memory().total  # what is free now changes from one second to the next
    cores = os.cpu_count() or 1
    try:
        cards, note = _cards()
    except Exception as error:  # the driver's library raises many kinds, and not only its own
        found = type(error).__name__
        missing = found in ("NVMLError_LibraryNotFound", "NVMLError_DriverNotLoaded")
        cards, note = (), "no NVIDIA driver" if missing else f"NVML does not answer ({found})"
    return Hardware(cards, host, cores, detected=True, note=note)


def _cards() -> tuple[tuple[Card, ...], str]:
    import pynvml

    pynvml.nvmlInit()
    try:
        visible = _visible(pynvml.nvmlDeviceGetCount())
        cards = tuple(_card(pynvml.nvmlDeviceGetHandleByIndex(index)) for index in visible)
    finally:
        pynvml.nvmlShutdown()
    return cards, "" if cards else "no NVIDIA card"


def _visible(count: int) -> list[int]:
    """Return the indices that CUDA_VISIBLE_DEVICES leaves, in its order.

    As CUDA does, it reads up to the first index that is no card. Names (UUIDs) are not resolved:
    with one of them every card counts.
    """
    asked = os.environ.get("CUDA_VISIBLE_DEVICES")
    if asked is None:
        return list(range(count))
    words = [word.strip() for word in asked.split(",")]
    if any(word.upper().startswith(("GPU-", "MIG-")) for word in words):
        return list(range(count))
    good = itertools.takewhile(lambda word: word.isdecimal() and int(word) < count, words)
    return list(dict.fromkeys(int(word) for word in good))


def _card(handle: object) -> Card:
    import pynvml

    name = pynvml.nvmlDeviceGetName(handle)
    name = name.decode() if isinstance(name, bytes) else str(name)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    known = find_gpu(name)
    gpu = Gpu(
        name=name,
        usable_bytes=int(memory.total),
        bandwidth=known.bandwidth if known else UNKNOWN_BANDWIDTH,
        bf16_flops=known.bf16_flops if known else (UNKNOWN_FLOPS if major >= 8 else None),
        fp16_flops=known.fp16_flops if known else UNKNOWN_FLOPS,
        capability=(int(major), int(minor)),
        source="NVML",
        measured_memory=True,
    )
    # Rounded down, so that a few MiB that come and go do not make another plan of one spec.
    free = int(memory.free) // FREE_STEP * FREE_STEP
    return Card(gpu, free, _holders(handle))


def _holders(handle: object) -> tuple[tuple[str, int], ...]:
    import pynvml

    holders = []
    for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle):
        try:
            name = psutil.Process(process.pid).name()
        except psutil.Error:
            name = "a process"
        holders.append((f"{name} ({process.pid})", int(process.usedGpuMemory or 0)))
    return tuple(holders)
