"""Run a project's scripts in a child process, and follow what it does."""

from __future__ import annotations

import contextlib
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

from ftspec.compiler.plan import learning_digest
from ftspec.runtime.events import Event, Follower
from ftspec.runtime.interrupts import Interrupts
from ftspec.runtime.state import (
    RunFolder,
    newest_run,
    open_run,
    read_ledger,
    write_ledger,
)

POLL_SECONDS = 0.2
GRACE_SECONDS = 60  # for a child to save, where the supervisor itself fails
LIBRARIES = ("torch", "transformers", "peft", "trl", "datasets", "accelerate")

# What an emitted script's exit code means; `journal.py` in the project has the same list.
OUT_OF_MEMORY = 76
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


class SeveralMachinesError(Exception):
    """The plan is for several machines, and this is one of them."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended. `state` is finished, stopped or failed; `exit` the script's exit code.

    `words` is the last that a failed script printed.
    """

    state: str
    exit: int
    reason: str
    run: RunFolder
    interrupted: bool = False
    nothing_to_do: bool = False
    words: str = ""


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
    nodes = _fact(plan, "hardware", "nodes") or 1
    if nodes != 1:
        raise SeveralMachinesError(f"the plan is for {nodes} machines, and this is one of them")
    digest = learning_digest(plan)
    last = newest_run(project)
    if last is not None and read_ledger(last).get("plan_hash") not in (None, digest):
        view.note(f"what is learnt has changed since run {last.number}: a new run is started")
        new = True
    run = open_run(project, new=new)
    ledger = read_ledger(run)
    if run.finished:
        return Ended("finished", 0, "nothing is left to do", run, nothing_to_do=True)
    ledger |= {"plan_hash": digest, "data_hash": _fact(plan, "facts", "data_digest")}
    printed = run.printed_bytes
    if _fact(plan, "model", "gguf") and (code := _convert(project, run, view, python)) != 0:
        write_ledger(run, ledger | {"state": "failed"})
        reason, words = "the GGUF file could not be converted", last_words(run, printed)
        return Ended("failed", code, reason, run, words=words)
    return _attempt(project, plan, ledger, run, view, python)


def _fact(plan: dict[str, Any], section: str, key: str) -> Any:
    part = plan.get(section)
    return part.get(key) if isinstance(part, dict) else None


def _convert(project: Path, run: RunFolder, view: View, python: str) -> int:
    if (project / "base" / "config.json").is_file():
        return 0
    view.note("writing the GGUF file's weights as safetensors, once")
    with run.output.open("ab") as output:
        return subprocess.run(
            [python, "convert.py"], cwd=project, stdout=output, stderr=subprocess.STDOUT
        ).returncode


def launcher(plan: dict[str, Any], python: str) -> list[str]:
    """Return what starts a script: Python, or accelerate where each card trains a copy."""
    count = _fact(plan, "hardware", "count") or 1
    if count == 1 or _fact(plan, "hardware", "split_model"):
        return [python]
    launch = [python, "-m", "accelerate.commands.launch", "--multi_gpu"]
    return [*launch, "--num_machines", "1", "--num_processes", str(count)]


def _attempt(
    project: Path,
    plan: dict[str, Any],
    ledger: dict[str, Any],
    run: RunFolder,
    view: View,
    python: str,
) -> Ended:
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
    write_ledger(run, ledger)
    follower = Follower(run.events, from_end=True)
    printed = run.printed_bytes
    with Interrupts() as interrupts:
        with run.output.open("ab") as output:
            child = subprocess.Popen(
                [*launcher(plan, python), "train.py", "--resume"],
                cwd=project,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        try:
            view.event({"event": "launch", "run": run.number})
            interrupted = _follow(child, follower, view, attempt, interrupts)
        except BaseException:
            child.send_signal(signal.SIGTERM)  # what nobody follows saves, and ends
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(GRACE_SECONDS)
            raise
    code = child.returncode
    if code == 1 and attempt["exit"] is not None:
        code = attempt["exit"]  # a launcher of several ranks ends with 1 whatever its ranks say
    code = 0 if run.finished else code  # the final weights are there, whatever came after
    state = "finished" if code == 0 else "stopped" if code == 75 or interrupted else "failed"
    reason = _reason(code, interrupted)
    attempt |= {"ended": time.time(), "exit": code, "reason": reason}
    ledger["state"] = state
    ledger["final"] = "final" if run.finished else None
    write_ledger(run, ledger)
    words = last_words(run, printed) if state == "failed" else ""
    return Ended(state, code, reason, run, interrupted, words=words)


def _reason(code: int, interrupted: bool) -> str:
    if interrupted and code == -signal.SIGTERM:
        return "stopped before there was anything to save"
    if interrupted and code == -signal.SIGKILL:
        return "killed on request; the checkpoints before it stand"
    if code < 0:
        return f"killed by signal {-code}"
    return REASONS.get(code, f"the script crashed (exit code {code})")


def _follow(
    child: subprocess.Popen[bytes],
    follower: Follower,
    view: View,
    attempt: dict[str, Any],
    interrupts: Interrupts,
) -> bool:
    """Follow a child to its end; returns whether somebody asked to stop."""
    answered = 0
    while True:
        done = child.poll() is not None
        for event in follower.new_events():
            if event["event"] == "start":
                attempt["resumed_from"] = event.get("resumed_from")
            elif event["event"] == "stop":
                attempt["exit"] = event.get("code")
            elif event["event"] == "out-of-memory":
                attempt["exit"] = OUT_OF_MEMORY
            view.event(event)
        if done:
            return answered > 0
        if interrupts.count > answered:
            answered += 1
            _stop(child, view, at_once=answered > 1)
        time.sleep(POLL_SECONDS)


def _stop(child: subprocess.Popen[bytes], view: View, *, at_once: bool) -> None:
    """Ask the child to save and end; `at_once`: kill it, with the processes it started."""
    if at_once:
        os.killpg(child.pid, signal.SIGKILL)
        view.note("killed: what was done since the last checkpoint is lost")
    else:
        child.send_signal(signal.SIGTERM)
        view.note("stopping after this step, with a checkpoint (Ctrl-C again: at once)")


# What the libraries say about themselves, kept out of a terminal that shows an answer.
QUIET = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "PYTHONWARNINGS": "ignore",
}


def call_script(
    project: Path,
    script: str,
    arguments: Sequence[str],
    python: str = sys.executable,
    *,
    quiet: bool = False,
    said: Path | None = None,
) -> int:
    """Run another script of a project with this terminal's streams; returns its exit code.

    `quiet` drops what it prints; the file `said` takes what it writes to standard error.
    """
    if not (project / script).is_file():
        raise NotAProjectError(f"`{project}` has no {script}")
    with contextlib.ExitStack() as stack:
        errors = stack.enter_context(said.open("ab")) if said else None
        return subprocess.run(
            [python, script, *arguments],
            cwd=project,
            env={**QUIET, **os.environ},
            stdout=subprocess.DEVNULL if quiet else None,
            stderr=errors,
        ).returncode


def last_words(run: RunFolder, start: int = 0, count: int = 12) -> str:
    """Return the last lines that the scripts printed from byte `start` on, no progress bars."""
    try:
        text = run.output.read_bytes()[start:].decode("utf-8", errors="replace")
    except OSError:
        return ""
    lines = [line.rpartition("\r")[2].rstrip() for line in text.splitlines()]
    return "\n".join(
        [line for line in lines if line and not line.endswith(("it/s]", "s/it]"))][-count:]
    )
