"""What a run came from, for its ledger: versions of the libraries, the commit of its folder."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

from ftspec.runtime.project import LIBRARIES

GIT_SECONDS = 5


def versions(python: str) -> dict[str, str]:
    """Return the versions of the training libraries; asked only of this Python."""
    found = {}
    for name in LIBRARIES if python == sys.executable else ():
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def commit(folder: Path) -> str | None:
    """Return the git commit that a folder is at, `-dirty` where files differ; None without one."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None
