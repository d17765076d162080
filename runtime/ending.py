"""How an attempt ended: from its exit code, its events, and the kernel's own count of kills."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import Any

from ftspec.runtime.events import Event

STOPPED, OUT_OF_MEMORY, NOT_FINITE, UNUSABLE, CANNOT_WRITE = 75, 76, 77, 78, 79

# What an emitted script's exit code means; `journal.py` in the project has the same list.
REASONS = {
    0: "finished",
    75: "stopped on request, with a checkpoint",
    76: "out of GPU memory",
    77: "the loss is not finite",
    78: "data or settings cannot be used",
    79: "cannot write",
}
KINDS = {
    0: "finished",
    75: "stopped",
    76: "out-of-memory",
    77: "not-finite",
    78: "unusable",
    79: "cannot-write",
}
KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)  # by itself, or below a shell

# How drivers and CUDA say that a card is gone (XID 79, 94, 95 in NVIDIA's "XID errors").
GPU_LOST = (
    "gpu is lost",
    "fallen off the bus",
    "uncorrectable ecc error",
    "no cuda-capable device",
    "cuda-capable device(s) is/are busy or unavailable",
    "device not found or not ready",
)


@dataclass(slots=True)
class Seen:
    """What the events of an attempt have told up to now."""

    phase: str = "load"
    step: int | None = None
    total: int | None = None
    start: Event | None = None
    code: int | None = None
    memory: Event | None = None
    failure: Event | None = None
    disk: Event | None = None
    measured: int | None = None
    passed_over: list[Event] = field(default_factory=list)

    def add(self, event: Event) -> None:
        """Take an event in."""
        kind = event["event"]
        if kind == "start":
            self.start, self.total = event, event.get("total_steps")
            self.step, self.phase = event.get("step"), "train"
        elif kind == "passed-over":
            self.passed_over.append(event)
        elif kind == "stop":
            self.code = event.get("code")
        elif kind == "out-of-memory":
            self.memory, self.code = event, OUT_OF_MEMORY
        elif kind == "failure":
            self.failure = event
        elif kind == "disk-full":
            self.disk = event
        if kind in ("step", "checkpoint", "eval", "stop", "end"):
            self.step = event.get("step", self.step)
        if kind in ("out-of-memory", "failure"):
            self.phase = event.get("phase") or self.phase
        used = event.get("memory_bytes")
        if isinstance(used, int):
            self.measured = max(self.measured or 0, used)

    @property
    def resumed_from(self) -> str | None:
        """The checkpoint that the attempt went on from."""
        return self.start.get("resumed_from") if self.start else None


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended. `exit` is None where nobody saw it."""

    kind: str
    exit: int | None
    reason: str

    @property
    def state(self) -> str:
        """The state of the run: finished, stopped or failed."""
        return self.kind if self.kind in ("finished", "stopped") else "failed"


def ending(
    code: int | None, seen: Seen, *, finished: bool, asked: bool, kills: int, words: str
) -> Ending:
    """Say how an attempt ended.

    code: the child's exit code, None where it was not ours. finished: the final weights are
    there. asked: somebody asked to stop. kills: what the kernel ended meanwhile for want of
    memory. words: the last that was printed.
    """
    if finished:
        return Ending("finished", 0, REASONS[0])
    if code in (1, None) and seen.code is not None:
        code = seen.code  # a launcher of several ranks ends with 1 whatever its ranks say
    if code in KILLED and kills > 0 and not asked:
        return Ending("host-memory", code, "the kernel ended it: out of host memory")
    if asked and code not in (NOT_FINITE, OUT_OF_MEMORY, UNUSABLE, CANNOT_WRITE):
        return Ending("stopped", code, _asked(code))
    if code == OUT_OF_MEMORY and seen.memory is not None and seen.memory.get("where") == "host":
        return Ending("host-memory", code, "out of host memory")
    if code is None:
        return _unseen(seen, kills)
    if code in KINDS and code != 0:
        return Ending(KINDS[code], code, REASONS[code])
    if any(lost in words.lower() for lost in GPU_LOST):
        return Ending("gpu-lost", code, "the GPU does not answer any more")
    if code < 0:
        return Ending("killed", code, f"killed by signal {-code}")
    return Ending("crash", code, f"the script crashed (exit code {code})")


def _asked(code: int | None) -> str:
    if code in (-signal.SIGTERM, -signal.SIGINT):
        return "stopped before there was anything to save"
    if code == -signal.SIGKILL:
        return "killed on request; the checkpoints before it stand"
    return REASONS[STOPPED] if code in (STOPPED, None) else f"stopped (exit code {code})"


def _unseen(seen: Seen, kills: int) -> Ending:
    if kills > 0:
        return Ending("host-memory", None, "it ended unseen; the kernel was out of host memory")
    if seen.failure is not None:
        kind = "unusable" if seen.failure.get("phase") == "load" else "crash"
        return Ending(kind, None, f"it ended unseen: {seen.failure.get('message')}")
    return Ending("killed", None, "it ended while nobody followed it")


def as_facts(seen: Seen, predicted: dict[str, Any]) -> dict[str, Any]:
    """Return an attempt's memory for the ledger: what was predicted, and what was measured."""
    said = seen.memory or {}
    return {
        "phase": seen.phase,
        "predicted_bytes": predicted.get("allocated"),
        "predicted_phase_bytes": predicted.get("phases", {}).get(seen.phase),
        "measured_bytes": seen.measured,
        "reserved_bytes": said.get("reserved_bytes"),
    }
