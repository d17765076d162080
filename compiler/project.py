"""Write a project folder: atomically, and never over what the user edited."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

MANIFEST = ".ftspec.json"


class Status(StrEnum):
    """What writing does, or would do, to a file."""

    CREATE = "create"
    IDENTICAL = "identical"
    CHANGED = "changed"
    CONFLICT = "conflict"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of each file, by its path in the project; `written` is False on a conflict."""

    files: Mapping[str, Status]
    written: bool

    @property
    def conflicts(self) -> tuple[str, ...]:
        """The files that the user edited and that would have been overwritten."""
        return tuple(name for name, status in self.files.items() if status is Status.CONFLICT)


def compare(folder: Path, files: Mapping[str, bytes]) -> dict[str, Status]:
    """Say what writing `files` into `folder` would do to each of them.

    A file is the user's when its content is not what the manifest says was written.
    """
    manifest = read_manifest(folder)
    statuses = {}
    for name, content in files.items():
        path = folder / name
        if not path.exists():
            statuses[name] = Status.CREATE
        elif (found := path.read_bytes()) == content:
            statuses[name] = Status.IDENTICAL
        elif manifest.get(name) == digest(found):
            statuses[name] = Status.CHANGED
        else:
            statuses[name] = Status.CONFLICT
    for name, written in manifest.items():
        path = folder / name
        if name not in files and path.is_file() and digest(path.read_bytes()) == written:
            statuses[name] = Status.REMOVED
    return statuses


def write(folder: Path, files: Mapping[str, bytes], *, force: bool = False) -> Outcome:
    """Write a project; with a conflict nothing is written, unless `force`.

    Forced files are kept beside as `<name>.bak`. Each file is replaced in one step, and the
    manifest last, so that an interruption leaves old files or new ones, never half of one.
    Raises OSError where the folder cannot be written.
    """
    statuses = compare(folder, files)
    conflicts = [name for name, status in statuses.items() if status is Status.CONFLICT]
    if conflicts and not force:
        return Outcome(statuses, written=False)
    folder.mkdir(parents=True, exist_ok=True)
    for name in conflicts:
        _replace(folder / f"{name}.bak", (folder / name).read_bytes())
    for name, content in files.items():
        if statuses[name] is not Status.IDENTICAL:
            _replace(folder / name, content)
    for name, status in statuses.items():
        if status is Status.REMOVED:
            (folder / name).unlink()
    manifest = {"schema_version": 1, "files": {n: digest(c) for n, c in sorted(files.items())}}
    _replace(folder / MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
    return Outcome(statuses, written=True)


def edited(folder: Path) -> tuple[str, ...]:
    """Return the files of a project that are not as they were written."""
    return tuple(
        name
        for name, written in read_manifest(folder).items()
        if not (folder / name).is_file() or digest((folder / name).read_bytes()) != written
    )


def read_manifest(folder: Path) -> dict[str, str]:
    """Return path -> hash of what was written last; empty where there is no manifest."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files = {str(name): str(value) for name, value in manifest["files"].items()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return {}
    # What it names outside of the project was not written by us, and is none of our business.
    return {name: value for name, value in files.items() if Path(name).name == name}


def digest(content: bytes) -> str:
    """Return the SHA-256 of a content."""
    return hashlib.sha256(content).hexdigest()


def _replace(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
