"""Who a process is: its number alone is given to others once it has ended."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROC = Path("/proc")
BOOT = PROC / "sys/kernel/random/boot_id"
STATE, STARTED = 0, 19  # places after the name in /proc/<pid>/stat (proc(5): fields 3 and 22)
DEAD = ("Z", "X", "x")


@dataclass(frozen=True, slots=True)
class Process:
    """A process: its number, the machine it runs on, and when it was started.

    since: ticks since which boot, which no change of the clock moves; elsewhere than on Linux
    seconds since 1970.
    """

    pid: int
    host: str
    since: str

    @property
    def elsewhere(self) -> bool:
        """Whether it runs on another machine, where it cannot be looked for."""
        return self.host != socket.gethostname()

    @property
    def alive(self) -> bool:
        """Whether it still runs on this machine; one that nobody has waited for does not."""
        return not self.elsewhere and _started(self.pid) == self.since

    def as_json(self) -> dict[str, Any]:
        """Return it in the form that is kept."""
        return {"pid": self.pid, "host": self.host, "since": self.since}


def process(pid: int | None = None) -> Process | None:
    """Return who a process is (this one, where none is given), or None where it has ended."""
    number = os.getpid() if pid is None else pid
    since = _started(number)
    return Process(number, socket.gethostname(), since) if since else None


def from_json(found: object) -> Process | None:
    """Return a process as it was kept; None where that is no process."""
    if not isinstance(found, Mapping):
        return None
    pid, host, since = (found.get(key) for key in ("pid", "host", "since"))
    if isinstance(pid, int) and pid > 0 and isinstance(host, str) and isinstance(since, str):
        return Process(pid, host, since)
    return None


def _started(pid: int) -> str | None:
    if not BOOT.exists():
        return _created(pid)
    try:
        fields = (PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        boot = BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return None if fields[STATE] in DEAD else f"{fields[STARTED]} ticks, boot {boot}"


def _created(pid: int) -> str | None:
    import psutil

    try:
        found = psutil.Process(pid)
        return None if found.status() == psutil.STATUS_ZOMBIE else f"{found.create_time():.2f} s"
    except psutil.Error:
        return None
