"""How often the kernel has ended a process for want of host memory."""

from __future__ import annotations

from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
WHOLE_KERNEL = Path("/proc/vmstat")


def memory_kills() -> int:
    """Return the counts so far, added up: of this process's control groups and of the kernel.

    The files' counters: `oom_kill` of memory.events (control groups 2), of memory.oom_control
    (1), and of /proc/vmstat. Only a change means something. 0 where none can be read.
    """
    return sum(_count(path) for path in (*_files(), WHOLE_KERNEL))


def _files() -> list[Path]:
    try:
        lines = OWN.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found = [CGROUPS / "memory.events", CGROUPS / "memory" / "memory.oom_control"]
    for line in lines:
        _, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        if not controllers:
            found.append(CGROUPS / path.lstrip("/") / "memory.events")
        elif "memory" in controllers.split(","):
            found.append(CGROUPS / "memory" / path.lstrip("/") / "memory.oom_control")
    return found


def _count(path: Path) -> int:
    try:
        words = path.read_text(encoding="utf-8").split()
    except OSError:
        return 0
    for name, value in zip(words, words[1:], strict=False):
        if name == "oom_kill" and value.isdecimal():
            return int(value)
    return 0
