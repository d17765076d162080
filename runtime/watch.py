"""Watchdogs: what a supervisor sees of a run that does not end by itself, but should."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ftspec.runtime.events import Event
from ftspec.runtime.rules import hangs
from ftspec.runtime.rules.trouble import Trouble
from ftspec.runtime.state import RunFolder
from ftspec.spec.finding import Finding


@dataclass(frozen=True, slots=True)
class Limits:
    """When patience ends, in seconds.

    quiet: without a sign of life, and `pauses` times the longest pause that was seen. loading:
    without a line printed, before training begins. look: between two looks at the curve, which
    is judged from `steps` records on. grace: for a child to save and end.
    """

    quiet: float = 600
    pauses: float = 20
    loading: float = 3600
    look: float = 30
    steps: int = 20
    grace: float = 300


class Watch:
    """Watches one attempt; `finding` is what speaks against letting it go on.

    Signs of life are changes of a file, timed by this process's own clock that only goes forward:
    a clock that is set moves nothing.
    """

    def __init__(
        self, run: RunFolder, limits: Limits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._run, self._limits, self._clock = run, limits, clock
        self._sign = self._now_sign()
        self._since = self._looked = clock()
        self._longest = 0.0
        self._records = self._judged = 0
        self._suspected = False
        self.phase = "load"

    def event(self, event: Event) -> None:
        """Take in an event of the run, which is a sign of life as well."""
        self._alive()
        kind = event["event"]
        if kind == "start":
            self.phase = "train"
        elif kind == "step":
            self._records += 1

    def hang(self) -> Finding | None:
        """Return the finding of a run that makes no progress."""
        sign = self._now_sign()
        if sign != self._sign:
            self._sign = sign
            self._alive()
        quiet = self._clock() - self._since
        limit = max(self._limits.quiet, self._limits.pauses * self._longest)
        limit = self._limits.loading if self.phase == "load" else limit
        return next(hangs.find(Trouble(self.phase, quiet=quiet, limit=limit)), None)

    def diverges(self) -> Finding | None:
        """Return the doctor's finding, where it stands in two looks at the curve in turn.

        The rule judges the end of a curve: a spike in the middle of a run looks like one, once.
        """
        now = self._clock()
        fresh = self._records - self._judged
        if now - self._looked < self._limits.look or fresh < self._limits.steps:
            return None
        self._looked, self._judged = now, self._records
        found = [item for item in _of_the_doctor(self._run.events) if item.name == "diverges"]
        before, self._suspected = self._suspected, bool(found)
        return found[0] if found and before else None

    def _alive(self) -> None:
        now = self._clock()
        if self.phase != "load":
            self._longest = max(self._longest, now - self._since)
        self._since = now

    def _now_sign(self) -> tuple[float, ...]:
        return (*_state(self._run.beat), *_state(self._run.output))


def _state(path: Path) -> tuple[float, float]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)


def _of_the_doctor(events: Path) -> list[Finding]:
    """Return what the doctor says of a log; a fault of its own must not end a run."""
    try:
        from ftspec.doctor.examine import examine  # only where something is judged

        return examine([events]).findings
    except Exception:  # the run is worth more than an opinion of it
        return []


def prescribed(run: RunFolder, names: tuple[str, ...]) -> dict[str, object]:
    """Return what the doctor prescribes for findings of some names: path -> value.

    The first prescription that patches something counts, of the gravest finding.
    """
    for finding in _of_the_doctor(run.events):
        for prescription in finding.prescriptions if finding.name in names else ():
            if prescription.patch:
                return {edit.path: edit.after for edit in prescription.patch}
    return {}
