"""This machine's place among the measurements that are kept: its driver, its torch."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ftspec.compiler.memory import corrections
from ftspec.compiler.memory.corrections import Machine, Residual
from ftspec.runtime import nvidia

if TYPE_CHECKING:
    from ftspec.runtime.measured import Measured

VERSION = re.compile(r"^__version__ = '([^']+)'", re.MULTILINE)
CUDA = re.compile(r"^cuda\b[^=]*= '([^']+)'", re.MULTILINE)


def recall(gpu: str) -> tuple[Machine | None, str]:
    """Return what was measured here on a card, by NVML's name; and why a file is passed over.

    The driver has to be the one measured under, and torch, where this Python has one.
    """
    path = corrections.file_path()
    if path is None or not path.is_file():
        return None, ""
    kept = corrections.read(path)
    driver = nvidia.driver() if kept.machines else None
    if driver is None:
        return None, kept.problem
    return kept.find(gpu, driver.version, torch_here()), kept.problem


def remember(gpu: str, found: Measured, residual: Residual | None) -> tuple[Path | None, str]:
    """Keep what was measured here. Returns the file, or None and why nothing was kept."""
    path, driver = corrections.file_path(), nvidia.driver()
    if path is None or driver is None:
        return None, "no home folder" if path is None else "the driver does not tell its version"
    machine = Machine(
        gpu=gpu,
        driver=driver.version,
        torch=found.torch,
        cuda=found.cuda,
        # A run that died had not loaded all kernels yet: its context is too small.
        context_bytes=None if found.failed_in else found.context_bytes,
        residuals=(residual,) if residual else (),
    )
    try:
        corrections.keep(path, machine)
    except OSError as error:
        return None, f"`{path}` cannot be written: {error.strerror}"
    return path, ""


def torch_here() -> tuple[str, str | None] | None:
    """Return this Python's torch and its CUDA, as `torch.__version__` has it, without importing.

    Source: torch/version.py, which its build writes. None where there is no torch.
    """
    try:
        found = importlib.util.find_spec("torch")
        if found is None or found.origin is None:
            return None
        text = Path(found.origin).with_name("version.py").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    version, cuda = VERSION.search(text), CUDA.search(text)
    return (version[1], cuda[1] if cuda else None) if version else None
