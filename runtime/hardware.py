"""Detect the hardware of this machine: its NVIDIA cards, host memory and cores, and what else."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from ftspec.compiler.facts.hardware import Hardware
from ftspec.runtime import nvidia, unmeasured

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def detect() -> Hardware:
    """Return this machine's hardware. No card, or no driver: the CPU trains, and a note says so.

    What other makers' accelerators there are is looked for only where no NVIDIA card is, and what
    was measured here before only where one is.
    """
    found = nvidia.detect()
    others = () if found.cards else unmeasured.detect()
    notes = (found.note, unmeasured.note(others))
    here = Hardware(
        found.cards,
        host_bytes(),
        os.cpu_count() or 1,
        detected=True,
        note="; ".join(note for note in notes if note),
        unmeasured=others,
    )
    return _recalled(here)


def _recalled(here: Hardware) -> Hardware:
    """Add what was measured on this machine before, or why a damaged file is passed over."""
    if here.gpu is None:
        return here
    from ftspec.runtime.machine import recall

    machine, problem = recall(here.gpu.name)
    notes = (note for note in (here.note, problem) if note)
    return replace(here, machine=machine, note="; ".join(notes))


def host_bytes(limit: Path = CGROUP_LIMIT) -> int:
    """Return the memory that this process may use: the machine's, or its control group's limit.

    The total, not what is free now, which changes from one second to the next.
    """
    try:
        allowed = int(limit.read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such limit, or `max`
        return _physical_bytes()
    return min(_physical_bytes(), allowed)


def _physical_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError):  # Windows
        import psutil

        return psutil.virtual_memory().total
