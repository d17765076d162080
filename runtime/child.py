"""The process that trains: started here, or found where an earlier supervisor left it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ftspec.runtime.process import Process, process

LAUNCHER = "accelerate.commands.launch"
DRAIN_SECONDS = 10  # for the log's last lines, once the child has ended
ENDS_SECONDS = 10  # for a killed process to be gone
POLL_SECONDS = 0.05


class Child(Protocol):
    """A process that is followed. `code`: its exit code, None before the end or if unseen."""

    code: int | None
    process: Process | None

    def ended(self) -> bool:
        """Whether it has ended."""

    def ask_to_stop(self) -> None:
        """Ask it to save and end."""

    def where_is_it(self) -> None:
        """Have it print the stacks of its threads into the log."""

    def kill(self) -> None:
        """End it, and the processes that it started."""


class Started:
    """A child of this process, in a session of its own, so that it outlives the supervisor."""

    def __init__(self, command: Sequence[str], folder: Path, log: Path) -> None:
        scrubber = [sys.executable, "-m", "ftspec.runtime.scrub", str(log.absolute())]
        self._log = subprocess.Popen(
            scrubber,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self._log.stdin is not None
        try:
            self._child = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=self._log.stdin,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        except OSError:
            self._log.kill()
            self._log.wait()
            raise
        finally:
            self._log.stdin.close()
        self.code: int | None = None
        self.process = process(self._child.pid)

    def ended(self) -> bool:
        """Whether it has ended; its last lines are in the log by then."""
        if self._child.poll() is None:
            return False
        if self.code is None:
            self.code = self._child.returncode
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._log.wait(DRAIN_SECONDS)  # a process that it left behind may hold the pipe
        return True

    def wait(self) -> int:
        """Wait for its end; returns its exit code."""
        self._child.wait()
        self.ended()
        return self._child.returncode

    def ask_to_stop(self) -> None:
        """Ask it to save and end."""
        if self._child.poll() is None:
            _send(ranks(self._child.pid), signal.SIGTERM)

    def where_is_it(self) -> None:
        """Have it print the stacks of its threads into the log."""
        if self._child.poll() is None:
            _send(ranks(self._child.pid), signal.SIGUSR1)

    def kill(self) -> None:
        """End it, and the processes that it started."""
        if self._child.poll() is None:
            _kill(self._child.pid)


class Found:
    """A training process that another supervisor started; nobody gets its exit code."""

    def __init__(self, found: Process) -> None:
        self.code: int | None = None
        self.process: Process | None = found
        self._found = found

    def ended(self) -> bool:
        """Whether it has ended."""
        return not self._found.alive

    def ask_to_stop(self) -> None:
        """Ask it to save and end."""
        if self._found.alive:  # its number may be another's by now
            _send(ranks(self._found.pid), signal.SIGTERM)

    def where_is_it(self) -> None:
        """Have it print the stacks of its threads into the log."""
        if self._found.alive:
            _send(ranks(self._found.pid), signal.SIGUSR1)

    def kill(self) -> None:
        """End it, and the processes that it started."""
        if self._found.alive:
            _kill(self._found.pid)


def ranks(pid: int) -> list[int]:
    """Return the processes that train: those that a launcher started, or the process itself.

    A launcher that is asked to stop gives its ranks 30 s and kills them (torch's elastic agent),
    so they are asked themselves.
    """
    if LAUNCHER not in _command(pid):
        return [pid]
    return [child for child in _family(pid) if "train.py" in _command(child)] or [pid]


def _family(pid: int) -> list[int]:
    import psutil

    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []


def _command(pid: int) -> list[str]:
    import psutil

    try:
        return psutil.Process(pid).cmdline()
    except psutil.Error:
        return []


def _send(pids: Sequence[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _kill(pid: int) -> None:
    family = _family(pid)  # ranks have groups of their own
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    _send(family, signal.SIGKILL)


def wait_for_end(child: Child, seconds: float) -> bool:
    """Wait for a child to end; returns whether it did."""
    until = time.monotonic() + seconds
    while not child.ended():
        if time.monotonic() > until:
            return False
        time.sleep(POLL_SECONDS)
    return True


def stop(child: Child, grace: float) -> bool:
    """Ask a child to stop, and kill it after `grace` seconds; returns whether it ended itself."""
    child.ask_to_stop()
    if wait_for_end(child, grace):
        return True
    child.kill()
    wait_for_end(child, ENDS_SECONDS)
    return False
