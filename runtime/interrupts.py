"""Requests to stop that reach the supervisor: Ctrl-C, SIGTERM, a terminal that was closed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from types import FrameType, TracebackType
from typing import Any

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class Interrupts:
    """Counts the requests to stop while it is entered; nothing is interrupted by them.

    A signal that whoever started us had ignored (`nohup`) stays ignored. Outside of the main
    thread, where Python delivers no signals, nothing is counted.
    """

    def __init__(self) -> None:
        self.count = 0
        self._before: Mapping[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            known = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
            heard = [number for number in known if signal.getsignal(number) != signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._note) for number in heard}
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.count += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
