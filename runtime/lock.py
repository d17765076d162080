"""A lock on a project folder: one supervisor at a time.

The kernel's lock on a file (flock) goes with the process that holds it, however that ends. On
NFS, Linux hands it to the server (flock(2)); a file system without locks, and Windows, have the
holder's number and start time in the file instead: one that has ended holds nothing. Who runs
on another machine cannot be looked for, and is taken to hold it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from ftspec.runtime.process import Process, from_json, process

NAME = ".ftspec.lock"


class AlreadyRunningError(Exception):
    """Another supervisor has the project; `holder` says who, where that is known."""

    def __init__(self, holder: Process | None) -> None:
        self.holder = holder
        where = "another process"
        if holder is not None:
            where = f"process {holder.pid}"
            where += f" on {holder.host}" if holder.elsewhere else ""
        super().__init__(f"{where} runs this project already")


@contextlib.contextmanager
def only_one(project: Path) -> Iterator[None]:
    """Hold the lock of a project. Raises AlreadyRunningError, or OSError where it cannot be."""
    path = project / NAME
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _locked(file):
            raise AlreadyRunningError(holder_of(project))
        me = process()
        os.ftruncate(file, 0)
        os.lseek(file, 0, os.SEEK_SET)
        os.write(file, json.dumps(me.as_json() if me else {}).encode())
        try:
            yield
        finally:
            os.ftruncate(file, 0)
    finally:
        os.close(file)


def holder_of(project: Path) -> Process | None:
    """Return the process that supervises a project, or None where none does.

    One on another machine is returned without being looked for.
    """
    try:
        found = from_json(json.loads((project / NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
    return found if found is not None and (found.elsewhere or found.alive) else None


def _locked(file: int) -> bool:
    """Take the lock; where there are no locks, the one who stands in the file must have ended."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return _stale(os.read(file, 4096))


def _stale(content: bytes) -> bool:
    try:
        holder = from_json(json.loads(content))
    except ValueError:
        return True
    return holder is None or not (holder.elsewhere or holder.alive)
