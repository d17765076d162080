"""A log that still grows: read anew whenever it has changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ftspec.doctor.curves.find import find_logs
from ftspec.doctor.curves.log import Log, UnreadableLogError
from ftspec.doctor.curves.readers import read
from ftspec.doctor.curves.series import Run

SECONDS = 2.0  # between two looks


def follow(
    path: Path, seconds: float = SECONDS, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Run]:
    """Yield the run that a path means, again whenever its log has changed; without end.

    The whole log is read each time, so one that was cut short or replaced begins anew. In a
    folder a newer run takes the place of the older. Reading takes at most half of the time. A
    log that is not there yet, or no more, is waited for.
    """
    seen: tuple[object, ...] | None = None
    while True:
        began = time.monotonic()
        log, now = _state(path)
        if log is not None and now != seen:
            seen = now
            try:
                yield read(Log.of_path(log))
            except (OSError, UnreadableLogError):
                seen = None
        sleep(max(seconds, time.monotonic() - began))


def _state(path: Path) -> tuple[Path | None, tuple[object, ...] | None]:
    """Return the log and what changes with it: the file, its size and its time."""
    try:
        log = find_logs(path)[0]
        files = [log, *sorted(log.rglob("*"))] if log.is_dir() else [log]
        stats = [(file, file.stat()) for file in files]
        return log, tuple((f, s.st_ino, s.st_size, s.st_mtime_ns) for f, s in stats)
    except (OSError, UnreadableLogError):
        return None, None
