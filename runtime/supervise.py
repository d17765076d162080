"""Run a project's scripts in a child process, follow what it does, and go on where it can."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftspec.compiler.plan import learning_digest
from ftspec.runtime.attempts import Attempt, catch_up, close, follow, new_record, take
from ftspec.runtime.child import Child, Found, Started, stop
from ftspec.runtime.disk import room
from ftspec.runtime.ending import CANNOT_WRITE, REASONS, Ending
from ftspec.runtime.events import Follower
from ftspec.runtime.interrupts import Interrupts
from ftspec.runtime.live import View
from ftspec.runtime.lock import AlreadyRunningError, only_one
from ftspec.runtime.origin import commit, versions
from ftspec.runtime.process import from_json
from ftspec.runtime.project import (
    LIBRARIES,
    NotAProjectError,
    call_script,
    fact,
    last_words,
    launcher,
    missing_libraries,
    read_plan,
)
from ftspec.runtime.remedies import Remedy, predicted_memory, remedy
from ftspec.runtime.rungs import arguments
from ftspec.runtime.state import RunFolder, newest_run, open_run, read_ledger, write_ledger
from ftspec.runtime.watch import Limits
from ftspec.spec.finding import Severity
from ftspec.spec.model import Run as RunSettings

__all__ = [
    "LIBRARIES",
    "REASONS",
    "AlreadyRunningError",
    "Ended",
    "NotAProjectError",
    "SeveralMachinesError",
    "View",
    "call_script",
    "last_words",
    "launcher",
    "missing_libraries",
    "read_plan",
    "supervise",
]

GRACE_SECONDS = 60  # for a child to save, where the supervisor itself fails
WAIT = Limits()


class SeveralMachinesError(Exception):
    """The plan is for several machines, and this is one of them."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended. `state` is finished, stopped or failed; `exit` the script's exit code.

    `words` is the last that a failed script printed.
    """

    state: str
    exit: int | None
    reason: str
    run: RunFolder
    interrupted: bool = False
    nothing_to_do: bool = False
    words: str = ""


@dataclass(frozen=True, slots=True)
class _Work:
    """What all attempts of a run share."""

    project: Path
    plan: dict[str, Any]
    run: RunFolder
    ledger: dict[str, Any]
    view: View
    python: str
    limits: Limits
    settings: RunSettings


def supervise(
    project: Path,
    view: View,
    *,
    new: bool = False,
    python: str = sys.executable,
    limits: Limits = WAIT,
) -> Ended:
    """Run a project to its end, or to a stop.

    A GGUF base is converted first. Goes on with the newest unfinished run, or follows it where it
    still trains; where that is finished, nothing is left to do, unless `new`. What fails and can
    be remedied is tried again, as the plan's `run` says. Raises NotAProjectError,
    AlreadyRunningError, OtherLayoutError, or OSError where the run's folder cannot be written.
    """
    plan = read_plan(project)
    nodes = fact(plan, "hardware", "nodes") or 1
    if nodes != 1:
        raise SeveralMachinesError(f"the plan is for {nodes} machines, and this is one of them")
    with only_one(project):
        digest = learning_digest(plan)
        last = newest_run(project)
        changed = last is not None and read_ledger(last).get("plan_hash") not in (None, digest)
        if last is not None and (new or changed):
            _nobody_trains(last)
        if last is not None and changed:
            view.note(f"what is learnt has changed since run {last.number}: a new run is started")
        run = open_run(project, new=new or changed)
        ledger = read_ledger(run)
        ledger |= {"plan_hash": digest, "data_hash": fact(plan, "facts", "data_digest")}
        settings = RunSettings.model_validate(plan.get("run") or {})
        return _run(_Work(project, plan, run, ledger, view, python, limits, settings))


def _nobody_trains(run: RunFolder) -> None:
    for record in read_ledger(run)["attempts"][-1:]:
        found = from_json(record.get("process"))
        if record["ended"] is None and found is not None and found.alive:
            raise AlreadyRunningError(found)


def _run(work: _Work) -> Ended:
    """Go through attempts until one ends well, or nothing helps any more."""
    run = work.run
    _show_earlier(work)
    left = _left_behind(work)
    if left is None:
        if run.finished:
            return Ended("finished", 0, "nothing is left to do", run, nothing_to_do=True)
        refused = _refused(work)
        if refused is not None:
            return refused
    with Interrupts() as interrupts:
        return _attempts(work, left, interrupts)


def _show_earlier(work: _Work) -> None:
    """Give the view the losses of earlier attempts, for its curve."""
    losses = {
        event["step"]: event.get("loss")
        for event in Follower(work.run.events).new_events()
        if event["event"] == "step" and isinstance(event.get("step"), int)
    }
    known = {step: loss for step, loss in losses.items() if isinstance(loss, int | float)}
    if known:
        work.view.event({"event": "earlier", "losses": known})


def _attempts(work: _Work, left: tuple[Attempt, Child] | None, interrupts: Interrupts) -> Ended:
    step, most = _carried_on(work), work.settings.max_attempts
    work.ledger.update(versions=versions(work.python), commit=commit(work.project))
    for number in range(1, most + 1):
        attempt, child = left or _start(work, step)
        left = None
        ended = _followed(work, attempt, child, interrupts)
        if ended.state != "failed" or attempt.answered:
            break
        found = remedy(work.project, work.plan, attempt, ended, len(work.ledger["attempts"]) + 1)
        write_ledger(work.run, work.ledger)
        if found is None:
            break
        step = found
        more = step.words
        if number == most:
            more = f"{number} attempts were made, and `run.max_attempts` allows no more"
            more += f"; not tried: {step.words}"
        work.view.note(more)
    return _result(attempt, ended)


def _left_behind(work: _Work) -> tuple[Attempt, Child] | None:
    """Return the attempt that an earlier supervisor left, and still trains; close a dead one."""
    records = work.ledger["attempts"]
    if not records or records[-1].get("ended") is not None:
        return None
    attempt = _attempt(work, records[-1])
    found = from_json(records[-1].get("process"))
    if found is not None and found.alive:
        work.view.note(f"run {work.run.number} is still going on (process {found.pid}): following")
        work.view.event({"event": "attach", "run": work.run.number})
        catch_up(attempt)
        return attempt, Found(found)
    for event in attempt.follower.new_events():
        take(attempt, event)
    close(attempt, None, predicted_memory(work.plan))
    return None


def _refused(work: _Work) -> Ended | None:
    """Return how a run ends that cannot even begin; None where it can."""
    run, printed = work.run, work.run.printed_bytes
    if fact(work.plan, "model", "gguf") and (code := _convert(work)) != 0:
        write_ledger(run, work.ledger | {"state": "failed"})
        reason = "the GGUF file could not be converted"
        return Ended("failed", code, reason, run, words=last_words(run, printed))
    finding = room(run, work.plan)
    if finding is not None:
        work.view.note(f"{finding.severity.value}[{finding.code}]: {finding.title}")
        if finding.severity is Severity.ERROR:
            write_ledger(run, work.ledger | {"state": "failed"})
            return Ended("failed", CANNOT_WRITE, finding.title, run, words=finding.help)
    return None


def _convert(work: _Work) -> int:
    if (work.project / "base" / "config.json").is_file():
        return 0
    work.view.note("writing the GGUF file's weights as safetensors, once")
    child = Started([work.python, "convert.py"], work.project, work.run.output)
    try:
        return child.wait()
    except BaseException:
        child.kill()
        raise


def _carried_on(work: _Work) -> Remedy:
    """Return what the newest attempt had: its constants and scripts stay in force."""
    for record in reversed(work.ledger["attempts"]):
        scripts = record.get("scripts")
        folder = work.run.path / scripts if scripts else None
        return Remedy("", record.get("constants") or {}, (), folder)
    return Remedy("", work.ledger.get("constants") or {})  # of the run that was healed


def _attempt(work: _Work, record: dict[str, Any]) -> Attempt:
    follower = Follower(work.run.events, record.get("events_from") or 0)
    return Attempt(work.run, work.ledger, record, work.view, work.settings, work.limits, follower)


def _start(work: _Work, step: Remedy) -> tuple[Attempt, Child]:
    run = work.run
    record = new_record(run, dict(step.constants), list(step.changes), step.scripts)
    work.ledger["attempts"].append(record)
    work.ledger["state"] = "running"
    write_ledger(run, work.ledger)  # where it cannot be written, nothing is started
    script = step.scripts.absolute() / "train.py" if step.scripts else "train.py"
    command = [*launcher(work.plan, work.python), str(script), "--resume"]
    child = Started([*command, *arguments(step.constants)], work.project, run.output)
    record["process"] = child.process.as_json() if child.process else None
    write_ledger(run, work.ledger)
    return _attempt(work, record), child


def _followed(work: _Work, attempt: Attempt, child: Child, interrupts: Interrupts) -> Ending:
    try:
        if isinstance(child, Started):
            work.view.event({"event": "launch", "run": work.run.number})
        follow(attempt, child, interrupts)
    except BaseException:
        stop(child, GRACE_SECONDS)  # what nobody follows saves, and ends
        raise
    return close(attempt, child.code, predicted_memory(work.plan))


def _result(attempt: Attempt, ended: Ending) -> Ended:
    words = ""
    if ended.state == "failed":
        words = last_words(attempt.run, attempt.record.get("printed_from") or 0)
    interrupted = attempt.answered > 0
    state = "stopped" if interrupted and ended.state == "failed" else ended.state
    return Ended(state, ended.exit, ended.reason, attempt.run, interrupted, words=words)
