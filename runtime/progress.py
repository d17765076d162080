"""Where a run stands, from its ledger and its events: what `status` and the summary tell."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftspec.runtime.events import Event, Follower
from ftspec.runtime.lock import holder_of
from ftspec.runtime.process import Process, from_json
from ftspec.runtime.state import RunFolder, newest_run, read_ledger


@dataclass(slots=True)
class Progress:
    """A run at this moment. `state`: running, finished, stopped, failed, or lost.

    lost: the ledger says that it runs, and nothing does. child, supervisor: the processes, where
    they live. losses: of steps, the step and the loss; a step that was gone through twice counts
    as it was the last time.
    """

    run: RunFolder
    ledger: dict[str, Any]
    state: str
    child: Process | None = None
    supervisor: Process | None = None
    total: int | None = None
    losses: dict[int, float] = field(default_factory=dict)
    held_out: dict[int, float] = field(default_factory=dict)
    saved: int | None = None
    last: Event | None = None
    rate: float | None = None
    memory: int | None = None
    since: float | None = None  # when the attempt that is judged began, and at which step
    since_step: int = 0

    @property
    def step(self) -> int:
        """The last step that was logged."""
        return max(self.losses, default=0)

    @property
    def best_held_out(self) -> tuple[int, float] | None:
        """The step of the lowest held-out loss, and that loss; None where none is finite."""
        finite = {step: loss for step, loss in self.held_out.items() if math.isfinite(loss)}
        best = min(finite, key=finite.__getitem__, default=None)
        return None if best is None else (best, finite[best])

    @property
    def seconds_left(self) -> float | None:
        """How long it takes to the end, at the pace of this attempt."""
        if not self.total or self.since is None or self.last is None:
            return None
        done = self.step - self.since_step
        took = float(self.last.get("time") or 0) - self.since
        return took / done * (self.total - self.step) if done > 0 and took > 0 else None

    def as_json(self) -> dict[str, Any]:
        """Return it in the form that programs read."""
        return {
            "schema_version": 1,
            "run": self.run.number,
            "state": self.state,
            "process": self.child.pid if self.child else None,
            "supervisor": self.supervisor.pid if self.supervisor else None,
            "step": self.step,
            "total_steps": self.total,
            "loss": self.losses.get(self.step),
            "held_out_loss": self.held_out[max(self.held_out)] if self.held_out else None,
            "tokens_per_second": self.rate,
            "memory_bytes": self.memory,
            "seconds_left": self.seconds_left,
            "checkpoint_step": self.saved,
            "last_event_seconds": _age(self.last),
            "attempts": len(self.ledger["attempts"]),
        }


def progress(project: Path, number: int | None = None) -> Progress | None:
    """Return where a project's run stands (the newest, or run `number`); None: there is none."""
    run = newest_run(project)
    if number is not None:
        path = project / "runs" / str(number)
        run = RunFolder(path, number) if path.is_dir() else None
    if run is None:
        return None
    ledger = read_ledger(run)
    found = Progress(run, ledger, str(ledger.get("state")))
    newest = ledger["attempts"][-1] if ledger["attempts"] else {}
    child = from_json(newest.get("process"))
    if child is not None and newest.get("ended") is None and (child.elsewhere or child.alive):
        found.child = child
    if number is None or number == getattr(newest_run(project), "number", None):
        found.supervisor = holder_of(project)
    if run.finished:
        found.state = "finished"
    elif found.state == "running" and found.child is None and found.supervisor is None:
        found.state = "lost"
    for event in Follower(run.events).new_events():
        _take(found, event)
    return found


def _take(found: Progress, event: Event) -> None:
    kind, step, loss = event["event"], event.get("step"), event.get("loss")
    found.last = event
    if kind == "start":
        found.total = event.get("total_steps")
        resumed = str(event.get("resumed_from") or "").rpartition("-")[2]
        found.since_step = int(resumed) if resumed.isdecimal() else 0
        found.since = event.get("time")
    if isinstance(step, int) and isinstance(loss, int | float):
        (found.losses if kind == "step" else found.held_out)[step] = float(loss)
    if kind == "step":
        rate, used = event.get("tokens_per_second"), event.get("memory_bytes")
        found.rate = rate if isinstance(rate, int | float) else found.rate
        found.memory = max(found.memory or 0, used) if isinstance(used, int) else found.memory
    elif kind == "checkpoint" and isinstance(step, int):
        found.saved = step


def _age(event: Event | None) -> float | None:
    return round(max(0.0, time.time() - float(event["time"])), 1) if event else None
