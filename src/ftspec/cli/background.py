"""A supervisor in the background: `ftspec run --detach`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ftspec.cli.failure import CannotReadError, RunFailedError
from ftspec.cli.output import command
from ftspec.runtime.lock import AlreadyRunningError, holder_of
from ftspec.runtime.progress import progress
from ftspec.runtime.project import NotAProjectError, read_plan

SUPERVISOR_LOG = "supervisor.log"  # what a supervisor in the background says
STARTS_SECONDS = 60


def in_background(project: Path, words: Sequence[str]) -> int:
    """Start a supervisor in a session of its own, and say so once it has the project.

    `words` are the arguments of `ftspec` that run the project in the foreground.
    """
    try:
        read_plan(project)
    except NotAProjectError as error:
        raise CannotReadError(str(error), "build one: ftspec build SPEC -o DIR") from None
    if (holder := holder_of(project)) is not None:
        raise RunFailedError(str(AlreadyRunningError(holder)), command("status", str(project)))
    log = project / SUPERVISOR_LOG
    with log.open("wb") as said:
        child = subprocess.Popen(
            [sys.executable, "-m", "ftspec", *words],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    until = time.monotonic() + STARTS_SECONDS
    while child.poll() is None and time.monotonic() < until:
        found = progress(project)
        if holder_of(project) is not None and found is not None and found.child is not None:
            print(f"run {found.run.number} trains in the background (process {found.child.pid})")
            print(f"next: {command('logs', str(project), '-f')}, or status, or stop")
            child.returncode = 0  # nobody waits for it
            return 0
        time.sleep(0.05)
    print(log.read_text(encoding="utf-8", errors="replace"), end="", file=sys.stderr)
    if child.poll() is None:
        print(f"it is still being started; what it says is in {log}", file=sys.stderr)
        child.returncode = 0
        return 0
    return child.returncode
