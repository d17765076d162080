"""A project folder, seen by the runtime: its plan, what starts its scripts, what they say."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ftspec.runtime.state import RunFolder

LIBRARIES = ("torch", "transformers", "peft", "trl", "datasets", "accelerate")

# What the libraries say about themselves, kept out of a terminal that shows an answer.
QUIET = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "PYTHONWARNINGS": "ignore",
}


class NotAProjectError(Exception):
    """The folder is no project that can be run; the message says what is missing."""


def missing_libraries(python: str = sys.executable) -> tuple[str, ...]:
    """Return the training libraries that a Python lacks (asked only of this one)."""
    if python != sys.executable:
        return ()
    return tuple(name for name in LIBRARIES if importlib.util.find_spec(name) is None)


def read_plan(project: Path) -> dict[str, Any]:
    """Return the plan of a project. Raises NotAProjectError where there is none."""
    path = project / "plan.json"
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NotAProjectError(f"`{project}` holds no plan.json: it is not a project") from error
    except ValueError as error:
        raise NotAProjectError(f"`{path}` is not JSON: {error}") from error
    if not isinstance(plan, dict) or not (project / "train.py").is_file():
        raise NotAProjectError(f"`{project}` has no train.py: it is not a whole project")
    return plan


def fact(plan: Mapping[str, Any], section: str, key: str) -> Any:
    """Return a value of a plan; None where the plan has none, or is none."""
    part = plan.get(section)
    return part.get(key) if isinstance(part, Mapping) else None


def launcher(plan: Mapping[str, Any], python: str) -> list[str]:
    """Return what starts a script: Python, or accelerate where each card trains a copy."""
    count = fact(plan, "hardware", "count") or 1
    if count == 1 or fact(plan, "hardware", "split_model"):
        return [python]
    launch = [python, "-m", "accelerate.commands.launch", "--multi_gpu"]
    return [*launch, "--num_machines", "1", "--num_processes", str(count)]


def call_script(
    project: Path,
    script: str,
    arguments: Sequence[str],
    python: str = sys.executable,
    *,
    quiet: bool = False,
    said: Path | None = None,
) -> int:
    """Run another script of a project with this terminal's streams; returns its exit code.

    `quiet` drops what it prints; the file `said` takes what it writes to standard error.
    """
    if not (project / script).is_file():
        raise NotAProjectError(f"`{project}` has no {script}")
    with contextlib.ExitStack() as stack:
        errors = stack.enter_context(said.open("ab")) if said else None
        return subprocess.run(
            [python, script, *arguments],
            cwd=project,
            env={**QUIET, **os.environ},
            stdout=subprocess.DEVNULL if quiet else None,
            stderr=errors,
        ).returncode


def last_words(run: RunFolder, start: int = 0, count: int = 12) -> str:
    """Return the last lines that the scripts printed from byte `start` on, no progress bars."""
    try:
        text = run.output.read_bytes()[start:].decode("utf-8", errors="replace")
    except OSError:
        return ""
    lines = [line.rpartition("\r")[2].rstrip() for line in text.splitlines()]
    return "\n".join(
        [line for line in lines if line and not line.endswith(("it/s]", "s/it]"))][-count:]
    )
