"""The state of runs on disk: which folder is next, and the ledger `run.json`."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftspec.runtime.secrets import Secrets

SCHEMA_VERSION = 1


class OtherLayoutError(Exception):
    """A run that another version has written; the message says what to do."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run's folder: runs/<number>."""

    path: Path
    number: int

    @property
    def finished(self) -> bool:
        """Whether the run has written its final weights."""
        return (self.path / "final").is_dir()

    @property
    def events(self) -> Path:
        """The file that the scripts write events into."""
        return self.path / "events.jsonl"

    @property
    def output(self) -> Path:
        """What the scripts print."""
        return self.path / "train.log"

    @property
    def printed_bytes(self) -> int:
        """How much the scripts have printed up to now."""
        return self.output.stat().st_size if self.output.exists() else 0

    @property
    def beat(self) -> Path:
        """The file that a training script touches while it goes on."""
        return self.path / "alive"

    def checkpoints(self) -> list[tuple[int, Path]]:
        """Return the sealed checkpoints, whether whole or not: step and folder, oldest first."""
        found = [
            (int(path.name[len("checkpoint-") :]), path)
            for path in self.path.glob("checkpoint-*")
            if path.name[len("checkpoint-") :].isdecimal() and (path / "manifest.json").exists()
        ]
        return sorted(found)


def newest_run(project: Path) -> RunFolder | None:
    """Return the run with the highest number, or None."""
    runs = project / "runs"
    found = [int(path.name) for path in runs.glob("*") if path.name.isdecimal() and path.is_dir()]
    return RunFolder(runs / str(max(found)), max(found)) if found else None


def open_run(project: Path, *, new: bool) -> RunFolder:
    """Return the newest run, or a new one where there is none or `new` asks for it."""
    last = newest_run(project)
    if last is not None and not new:
        return last
    number = last.number + 1 if last else 1
    path = project / "runs" / str(number)
    path.mkdir(parents=True)
    return RunFolder(path, number)


def read_ledger(run: RunFolder) -> dict[str, Any]:
    """Return the run's ledger; an empty one where there is none yet, or a broken one.

    Raises OtherLayoutError where another version has written it.
    """
    try:
        ledger = json.loads((run.path / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        ledger = None
    if isinstance(ledger, dict) and ledger.get("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION:
        raise OtherLayoutError(
            f"`{run.path / 'run.json'}` is of layout {ledger['schema_version']!r}, and this version"
            f" reads {SCHEMA_VERSION}"
        )
    if isinstance(ledger, dict) and isinstance(ledger.get("attempts"), list):
        return ledger
    return {
        "schema_version": SCHEMA_VERSION,
        "state": "running",
        "attempts": [],
        "plan_hash": None,
        "data_hash": None,
        "final": None,
    }


def write_ledger(run: RunFolder, ledger: dict[str, Any]) -> None:
    """Write the ledger in one step, without secrets, and through to the disk."""
    text = json.dumps(ledger, indent=2)
    handle, name = tempfile.mkstemp(dir=run.path, prefix=".run.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(Secrets().hide(text) + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(run.path / "run.json")
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
