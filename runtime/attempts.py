"""One attempt of a run: started or found, followed to its end, and written into the ledger."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftspec.runtime.child import Child, wait_for_end
from ftspec.runtime.ending import Ending, Seen, as_facts, ending
from ftspec.runtime.events import Event, Follower
from ftspec.runtime.interrupts import Interrupts
from ftspec.runtime.kills import memory_kills
from ftspec.runtime.live import View
from ftspec.runtime.project import last_words
from ftspec.runtime.rules import checkpoint_not_whole
from ftspec.runtime.rules.trouble import Trouble
from ftspec.runtime.state import RunFolder, write_ledger
from ftspec.runtime.watch import Limits, Watch
from ftspec.spec.finding import Finding
from ftspec.spec.model import Run as RunSettings

POLL_SECONDS = 0.2
STACKS_SECONDS = 1.0  # for a hanging script to print where it is
HANGING_GRACE = 30.0  # seconds; it does not answer anyway


@dataclass(slots=True)
class Attempt:
    """An attempt that is followed. `record` is its part of the ledger, kept up to date."""

    run: RunFolder
    ledger: dict[str, Any]
    record: dict[str, Any]
    view: View
    settings: RunSettings
    limits: Limits
    follower: Follower
    seen: Seen = field(default_factory=Seen)
    answered: int = 0
    against: Finding | None = None  # the watchdog's, for which it was stopped
    findings: list[Finding] = field(default_factory=list)

    def save(self) -> None:
        """Write the ledger."""
        write_ledger(self.run, self.ledger)

    def found(self, finding: Finding) -> None:
        """Keep a finding, and show its title."""
        self.findings.append(finding)
        self.record.setdefault("findings", []).append(finding.as_json())
        self.view.note(f"{finding.severity.value}[{finding.code}]: {finding.title}")


def new_record(
    run: RunFolder, constants: dict[str, Any], changes: list[Any], scripts: Path | None
) -> dict[str, Any]:
    """Return the ledger's entry of an attempt that begins now.

    events_from, printed_from: where in the run's files its part begins, in bytes.
    """
    return {
        "started": time.time(),
        "ended": None,
        "exit": None,
        "reason": None,
        "resumed_from": None,
        "constants": dict(constants),
        "changes": changes,
        "scripts": str(scripts.relative_to(run.path)) if scripts else None,
        "process": None,
        "events_from": run.events.stat().st_size if run.events.exists() else 0,
        "printed_from": run.printed_bytes,
        "kills_before": memory_kills(),
        "findings": [],
    }


def follow(attempt: Attempt, child: Child, interrupts: Interrupts) -> None:
    """Follow a child to its end: show events, answer requests to stop, watch it."""
    watch = Watch(attempt.run, attempt.limits)
    deadline: float | None = None
    while True:
        done = child.ended()
        for event in attempt.follower.new_events():
            take(attempt, event)
            watch.event(event)
            attempt.view.event(event)
        if done:
            return
        if interrupts.count > attempt.answered:
            attempt.answered += 1
            _answer(attempt, child)
        if deadline is None and attempt.answered == 0:
            deadline = _look(attempt, child, watch)
        elif deadline is not None and time.monotonic() > deadline:
            attempt.view.note("it does not end by itself, and is killed")
            child.kill()
            deadline = None if wait_for_end(child, 10) else time.monotonic() + 10
        time.sleep(POLL_SECONDS)


def catch_up(attempt: Attempt) -> None:
    """Take in what happened while nobody followed; of it, the view is shown where things stand."""
    last: dict[str, Event] = {}
    for event in attempt.follower.new_events():
        take(attempt, event)
        last[event["event"]] = event
    for kind in ("start", "eval", "step"):
        if kind in last:
            attempt.view.event(last[kind])


def take(attempt: Attempt, event: Event) -> None:
    """Take an event into the record."""
    attempt.seen.add(event)
    if event["event"] == "start":
        attempt.record["resumed_from"] = event.get("resumed_from")
        attempt.save()
    elif event["event"] == "passed-over":
        trouble = Trouble(path=str(event.get("path")), why=str(event.get("message")))
        for finding in checkpoint_not_whole.find(trouble):
            attempt.found(finding)


def _answer(attempt: Attempt, child: Child) -> None:
    if attempt.answered > 1:
        child.kill()
        attempt.view.note("killed: what was done since the last checkpoint is lost")
    else:
        child.ask_to_stop()
        attempt.view.note("stopping after this step, with a checkpoint (Ctrl-C again: at once)")


def _look(attempt: Attempt, child: Child, watch: Watch) -> float | None:
    """Ask the watchdogs; returns when a child that was asked to stop is to be killed."""
    finding, action = watch.hang(), str(attempt.settings.on_hang)
    grace = min(attempt.limits.grace, HANGING_GRACE)
    if finding is None:
        finding, action = watch.diverges(), attempt.settings.on_divergence
        grace = attempt.limits.grace
    if finding is None or any(item.code == finding.code for item in attempt.findings):
        return None
    attempt.found(finding)
    if action == "continue":
        return None
    attempt.against = finding
    if finding.name == "hangs" and watch.phase != "load":
        child.where_is_it()
        time.sleep(STACKS_SECONDS)
    child.ask_to_stop()
    return time.monotonic() + grace


def close(attempt: Attempt, code: int | None, predicted: dict[str, Any]) -> Ending:
    """Write down how an attempt ended, and return it."""
    run, record, seen = attempt.run, attempt.record, attempt.seen
    ended = ending(
        code,
        seen,
        finished=run.finished,  # the final weights are there, whatever came after
        asked=attempt.answered > 0,
        kills=memory_kills() - (record.get("kills_before") or 0),
        words=last_words(run, record.get("printed_from") or 0),
    )
    if attempt.against is not None and ended.state != "finished":
        ended = Ending(attempt.against.name, ended.exit, attempt.against.title)
    record |= {
        "ended": time.time(),
        "exit": ended.exit,
        "reason": ended.reason,
        "kind": ended.kind,
        "phase": seen.phase,
        "step": seen.step,
        "memory": as_facts(seen, predicted),
    }
    attempt.ledger["state"] = ended.state
    attempt.ledger["final"] = "final" if run.finished else None
    attempt.save()
    return ended
