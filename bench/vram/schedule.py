"""Run many jobs at once on one card: under a budget of its memory, of the host's, and of slots."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Job:
    """A run: what it needs (bytes, seconds), and what it is. `alone`: no other beside it."""

    name: str
    card_bytes: int
    host_bytes: int
    seconds: float
    alone: bool = False
    facts: dict[str, Any] = field(default_factory=dict)


class Running(Protocol):
    """A job that was started."""

    def poll(self) -> dict[str, Any] | None:
        """Return what came of it, or None while it runs."""

    def kill(self) -> None:
        """End it."""


class Schedule:
    """Which job starts next: the longest that fits into what is left."""

    def __init__(self, jobs: list[Job], card_bytes: int, host_bytes: int, slots: int) -> None:
        self.waiting = sorted(jobs, key=lambda job: (-job.seconds, job.name))
        self.running: list[Job] = []
        self.card_bytes, self.host_bytes, self.slots = card_bytes, host_bytes, slots

    def next(self) -> Job | None:
        """Take the next job, or None where none may start now.

        A job over the whole budget runs alone: the budget keeps a reserve.
        """
        if len(self.running) >= self.slots or any(job.alone for job in self.running):
            return None
        for job in self.waiting:
            if self._fits(job):
                self.waiting.remove(job)
                self.running.append(job)
                return job
        return None

    def _fits(self, job: Job) -> bool:
        if not self.running:
            return True
        card = sum(other.card_bytes for other in self.running)
        host = sum(other.host_bytes for other in self.running)
        fits = card + job.card_bytes <= self.card_bytes and host + job.host_bytes <= self.host_bytes
        return fits and not job.alone

    def done(self, job: Job) -> None:
        """Give back what a job held."""
        self.running.remove(job)

    def add(self, job: Job) -> None:
        """Put a job in front of all that wait."""
        self.waiting.insert(0, job)


def run(
    schedule: Schedule,
    start: Callable[[Job], Running],
    *,
    seconds: float = float("inf"),
    grace: float = float("inf"),
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[tuple[Job, dict[str, Any]]]:
    """Run the jobs and yield each with what came of it, as they end.

    After `seconds` none starts; `grace` seconds later those that still run are killed, and
    nothing is said of them.
    """
    began = clock()
    live: dict[str, tuple[Job, Running]] = {}
    while live or schedule.waiting:
        spent = clock() - began
        if spent < seconds:
            while (job := schedule.next()) is not None:
                live[job.name] = (job, start(job))
        elif not live:
            return
        elif spent > seconds + grace:
            for _, handle in live.values():
                handle.kill()
            return
        ended = False
        for name, (job, handle) in list(live.items()):
            result = handle.poll()
            if result is not None:
                ended = True
                del live[name]
                schedule.done(job)
                yield job, result
        if not ended:
            pause(0.1)
