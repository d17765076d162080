"""The runs of a project that ended with trained weights."""

from __future__ import annotations

from pathlib import Path

from ftspec.runtime.state import RunFolder


def newest_finished(project: Path) -> RunFolder | None:
    """Return the finished run with the highest number, as the scripts do where none is named."""
    finals = project.glob("runs/*/final")
    found = [int(path.parent.name) for path in finals if path.parent.name.isdecimal()]
    return finished(project, max(found)) if found else None


def finished(project: Path, number: int) -> RunFolder | None:
    """Return a run, or None where it has not finished."""
    run = RunFolder(project / "runs" / str(number), number)
    return run if run.finished else None
