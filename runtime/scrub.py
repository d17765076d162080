"""Copy standard input to a log without the secrets in it: `python -m ftspec.runtime.scrub LOG`.

It stands between what scripts print and the file, as a process of its own, so that it goes on
when the supervisor does not. It ends when the last writer has closed the pipe. Lines are written
when they end; a disk that is full loses them, and never stops the writer.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

from ftspec.runtime.secrets import Secrets

CHUNK = 65536  # bytes; a line that is longer is written in parts
END_OF_LINE = (b"\n", b"\r")  # progress bars end theirs with the second


def copy(source: int, target: int, secrets: Secrets) -> None:
    """Copy from one file descriptor to another, line by line, until the source ends."""
    held = b""
    while added := os.read(source, CHUNK):
        held += added
        end = max(held.rfind(mark) for mark in END_OF_LINE) + 1
        if end == 0 and len(held) > CHUNK:
            end = len(held)
        whole, held = held[:end], held[end:]
        _write(target, whole, secrets)
    _write(target, held, secrets)


def _write(target: int, raw: bytes, secrets: Secrets) -> None:
    text = raw.decode("utf-8", errors="surrogateescape")
    left = memoryview(secrets.hide(text).encode("utf-8", errors="surrogateescape"))
    with contextlib.suppress(OSError):
        while left:
            left = left[os.write(target, left) :]


def main() -> int:
    """Copy standard input to the log on the command line."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    target = os.open(Path(sys.argv[1]), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    copy(sys.stdin.fileno(), target, Secrets())
    return 0


if __name__ == "__main__":
    sys.exit(main())
