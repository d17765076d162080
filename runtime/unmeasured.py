"""Accelerators of other makers than NVIDIA: found and named, since nothing was measured on them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

GIB = 2**30
SYSFS = Path("/sys/class/drm")
AMD, INTEL = 0x1002, 0x8086  # PCI vendor ids
INTEGRATED = "0000:00:02.0"  # where Intel's integrated graphics sit on the PCI bus
# PCI device ids of AMD's cards that people train on, as pci.ids names them.
AMD_NAMES = {
    0x738C: "AMD Instinct MI100",
    0x7408: "AMD Instinct MI250X",
    0x740C: "AMD Instinct MI250X",
    0x740F: "AMD Instinct MI210",
    0x74A0: "AMD Instinct MI300A",
    0x74A1: "AMD Instinct MI300X",
    0x74A5: "AMD Instinct MI325X",
    0x73BF: "AMD Radeon RX 6800 or 6900 XT",
    0x744C: "AMD Radeon RX 7900 XT or XTX",
    0x7448: "AMD Radeon Pro W7900",
    0x747E: "AMD Radeon RX 7700 XT or 7800 XT",
    0x7550: "AMD Radeon RX 9070 or 9070 XT",
    0x1586: "AMD Radeon 8060S",
}


def detect(sysfs: Path = SYSFS) -> tuple[str, ...]:
    """Return what is there, each in words with its memory; nothing of it is used."""
    if sys.platform == "darwin":
        return tuple(_apple())
    return tuple(_cards(sysfs))


def note(found: tuple[str, ...]) -> str:
    """Say what was found, and what that means."""
    if not found:
        return ""
    verb = "is" if len(found) == 1 else "are"
    return (
        f"{', '.join(found)} {verb} here, where nothing was measured:"
        " predictions are for NVIDIA's cards, and the scripts train on CUDA or the CPU"
    )


def _cards(sysfs: Path) -> Iterator[str]:
    folders = [path for path in sysfs.glob("card*") if re.fullmatch(r"card\d+", path.name)]
    for folder in sorted(folders, key=lambda path: int(path.name[4:])):
        device = folder / "device"
        vendor = _number(device / "vendor")
        if vendor == AMD:
            yield _amd(device)
        elif vendor == INTEL:
            kind = "integrated graphics" if device.resolve().name == INTEGRATED else "graphics card"
            yield f"an Intel {kind}" if kind.endswith("card") else f"Intel {kind}"


def _amd(device: Path) -> str:
    """Name an AMD card, with its memory as the driver amdgpu tells it."""
    number = _number(device / "device") or 0
    told = _text(device / "product_name")
    name = told or AMD_NAMES.get(number, f"an AMD card (device {number:#06x})")
    name = name if "AMD" in name else f"AMD {name}"
    total, used = _number(device / "mem_info_vram_total"), _number(device / "mem_info_vram_used")
    if total is None:
        return name
    free = f", {(total - used) / GIB:.1f} free" if used is not None else ""
    return f"{name} ({total / GIB:.1f} GiB of its own{free})"


def _apple() -> Iterator[str]:
    """Yield this Mac's chip where it is Apple's; its memory is the system's."""
    import platform
    import subprocess

    if platform.machine() != "arm64":
        return
    import psutil

    command = ["sysctl", "-n", "machdep.cpu.brand_string"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5)
        chip = done.stdout.strip() or "an Apple chip"
    except (OSError, subprocess.TimeoutExpired):
        chip = "an Apple chip"
    yield f"{chip} ({psutil.virtual_memory().total / GIB:.1f} GiB, shared with the system)"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def _number(path: Path) -> int | None:
    """Read a number as the kernel writes it: `0x1002` or `17163091968`."""
    try:
        return int(_text(path), 0)
    except ValueError:
        return None
