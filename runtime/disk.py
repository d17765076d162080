"""Whether the disk has room for what a run will write."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftspec.runtime.project import fact
from ftspec.runtime.rules import disk_fills
from ftspec.runtime.rules.trouble import Trouble
from ftspec.runtime.state import RunFolder
from ftspec.spec.finding import Finding

# Trained weights and AdamW's two moments, in units of the weights (compiler: disk_bytes).
OF_WEIGHTS = 3


def room(run: RunFolder, plan: Mapping[str, Any]) -> Finding | None:
    """Return the finding where a run's checkpoints will not find room, before it begins.

    A checkpoint that is there tells its size; else the plan does.
    """
    free = shutil.disk_usage(run.path).free
    found, limit = run.checkpoints(), fact(plan, "train", "save_limit")
    kept = limit if isinstance(limit, int) else 2
    one = folder_bytes(found[-1][1]) if found else _planned(plan, kept)
    if one is None:
        return None
    missing = max(1, kept + 1 - len(found))  # the next is whole before the oldest goes
    every = one * missing + one // OF_WEIGHTS
    return next(disk_fills.find(Trouble(checkpoint=one, all_checkpoints=every, free=free)), None)


def _planned(plan: Mapping[str, Any], kept: int) -> int | None:
    every = fact(plan, "memory", "disk_bytes")
    if not isinstance(every, int):
        return None
    return OF_WEIGHTS * every // (OF_WEIGHTS * (kept + 1) + 1)


def folder_bytes(folder: Path) -> int:
    """Return the size of all files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
