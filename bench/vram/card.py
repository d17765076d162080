"""The card, as the driver shows it: its size, and what each process holds of it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

INTERVAL = 0.05  # seconds between two looks


@dataclass(frozen=True, slots=True)
class Card:
    """The first card: name, driver, bytes in all."""

    name: str
    driver: str
    total_bytes: int
    handle: Any

    @classmethod
    def first(cls) -> Card:
        """Ask NVML; raises pynvml.NVMLError where there is no card or no driver."""
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        name, driver = pynvml.nvmlDeviceGetName(handle), pynvml.nvmlSystemGetDriverVersion()
        return cls(str(name), str(driver), int(memory.total), handle)

    def used_bytes(self) -> int:
        """Bytes in use, of all processes and the driver itself."""
        import pynvml

        return int(pynvml.nvmlDeviceGetMemoryInfo(self.handle).used)

    def by_process(self) -> dict[int, int]:
        """Bytes of each process by its id; empty where the driver hides them."""
        import pynvml

        processes = pynvml.nvmlDeviceGetComputeRunningProcesses(self.handle)
        return {item.pid: int(item.usedGpuMemory) for item in processes if item.usedGpuMemory}


class Sampler:
    """Looks at the card twenty times a second, and keeps each process's highest figure."""

    def __init__(self, card: Card) -> None:
        self.card = card
        self._peaks: dict[int, int] = {}
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(INTERVAL):
            try:
                found = self.card.by_process()
            except Exception:  # a driver that refuses: there are no samples then
                return
            with self._lock:
                for process, size in found.items():
                    self._peaks[process] = max(size, self._peaks.get(process, 0))

    def take(self, process: int) -> int | None:
        """Return a process's highest figure, bytes, and forget it; None: never seen."""
        with self._lock:
            return self._peaks.pop(process, None)
