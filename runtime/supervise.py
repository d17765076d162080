"""Run a project's scripts in a child process, and follow what it does."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ftspec.runtime.events import Event, Follower
from ftspec.runtime.state import RunFolder, open_run, read_ledger, write_ledger

POLL_SECONDS = 0.2
LIBRARIES = ("torch", "transformers", "peft", "trl", "datasets", "accelerate")

# What an emitted script's exit code means; `journal.py` in the project has the same list.
REASONS = {
    0: "finished",
    75: "stopped on request, with a checkpoint",
    76: "out of GPU memory",
    77: "the loss is not finite",
    78: "data or settings cannot be used",
    79: "cannot write",
}


class View(Protocol):
    """Shows a run to somebody."""

    def event(self, event: Event) -> None:
        """Show an event of the run."""

    def note(self, text: str) -> None:
        """Show a sentence about the run."""

    def close(self) -> None:
        """Leave the screen as it should stay."""


class NotAProjectError(Exception):
    """The folder is no project that can be run; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended. `state` is finished, stopped or failed; `exit` the script's exit code."""

    state: str
    exit: int
    reason: str
    run: RunFolder
    interrupted: bool = False


def missing_libraries(python: str = sys.executable) -> tuple[str, ...]:
    """Return the training libraries that a Python lacks (asked only of this one)."""
    if python != sys.executable:
        return ()
    return tuple(name for name in LIBRARIES if importlib.util.find_spec(name) is None)


def read_plan(project: Path) -> dict[str, Any]:
    """Return the plan of a project. Raises NotAProjectError where there is none."""
    path = project / "plan.json"
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NotAProjectError(f"`{project}` holds no plan.json: it is not a project") from error
    except ValueError as error:
        raise NotAProjectError(f"`{path}` is not JSON: {error}") from error
    if not isinstance(plan, dict) or not (project / "train.py").is_file():
        raise NotAProjectError(f"`{project}` has no train.py: it is not a whole project")
    return plan


def supervise(
    project: Path, view: View, *, new: bool = False, python: str = sys.executable
) -> Ended:
    """Run a project to its end, or to a stop.

    A GGUF base is converted first. Goes on with the newest unfinished run; where that is
    finished, nothing is left to do, unless `new`. Raises NotAProjectError, or OSError where
    the run's folder cannot be written.
    """
    plan = read_plan(project)
    run = open_run(project, new=new)
    if run.finished:
        return Ended("finished", 0, "nothing is left to do", run)
    if plan.get("model", {}).get("gguf"):
        code = _convert(project, run, view, python)
        if code != 0:
            return Ended("failed", code, "the GGUF file could not be converted", run)
    return _attempt(project, plan, run, view, python)


def _convert(project: Path, run: RunFolder, view: View, python: str) -> int:
    if (project / "base" / "config.json").is_file():
        return 0
    view.note("writing the GGUF file's weights as safetensors, once")
    with run.output.open("ab") as output:
        return subprocess.run(
            [python, "convert.py"], cwd=project, stdout=output, stderr=subprocess.STDOUT
        ).returncode


def _attempt(project: Path, plan: dict[str, Any], run: RunFolder, view: View, python: str) -> Ended:
    ledger = read_ledger(run)
    attempt: dict[str, Any] = {
        "started": time.time(),
        "ended": None,
        "exit": None,
        "reason": None,
        "resumed_from": None,
        "constants": {},
        "changes": [],
    }
    ledger["attempts"].append(attempt)
    ledger["state"] = "running"
    ledger["data_hash"] = plan.get("facts", {}).get("data_digest")
    write_ledger(run, ledger)
    follower = Follower(run.events, from_end=True)
    with run.output.open("ab") as output:
        child = subprocess.Popen(
            [python, "train.py", "--resume"],
            cwd=project,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    interrupted = _follow(child, follower, view, ledger, attempt)
    code = child.returncode
    state = "finished" if code == 0 else "stopped" if code == 75 or interrupted else "failed"
    reason = _reason(code, interrupted)
    attempt |= {"ended": time.time(), "exit": code, "reason": reason}
    ledger["state"] = state
    ledger["final"] = "final" if run.finished else None
    write_ledger(run, ledger)
    return Ended(state, code, reason, run, interrupted)


def _reason(code: int, interrupted: bool) -> str:
    if interrupted and code in (-signal.SIGTERM, -signal.SIGKILL):
        return "stopped before there was anything to save"
    if code < 0:
        return f"killed by signal {-code}"
    return REASONS.get(code, f"the script crashed (exit code {code})")


def _follow(
    child: subprocess.Popen[bytes],
    follower: Follower,
    view: View,
    ledger: dict[str, Any],
    attempt: dict[str, Any],
) -> bool:
    interrupted = False
    while True:
        try:
            done = child.poll() is not None
            for event in follower.new_events():
                if event["event"] == "start":
                    attempt["resumed_from"] = event.get("resumed_from")
                    ledger["plan_hash"] = event.get("plan_hash")
                view.event(event)
            if done:
                return interrupted
            time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            if interrupted:
                child.kill()
                view.note("killed: what was done since the last checkpoint is lost")
            else:
                interrupted = True
                view.note("stopping after this step, with a checkpoint (Ctrl-C again: at once)")
                child.send_signal(signal.SIGTERM)


def call_script(
    project: Path, script: str, arguments: Sequence[str], python: str = sys.executable
) -> int:
    """Run another script of a project with this terminal's streams; returns its exit code."""
    if not (project / script).is_file():
        raise NotAProjectError(f"`{project}` has no {script}")
    return subprocess.run([python, script, *arguments], cwd=project).returncode


def last_words(run: RunFolder, count: int = 12) -> str:
    """Return the last lines that the scripts printed, without progress bars."""
    try:
        text = run.output.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    lines = [line.rpartition("\r")[2].rstrip() for line in text.splitlines()]
    return "\n".join([line for line in lines if line and "it/s]" not in line][-count:])
