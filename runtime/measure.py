"""Measure a plan: three steps of its own train.py, in a child process, from a folder that goes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ftspec.compiler.emit import emit
from ftspec.compiler.plan import Plan
from ftspec.compiler.project import write
from ftspec.runtime.ending import REASONS
from ftspec.runtime.events import Event, Follower
from ftspec.runtime.interrupts import Interrupts
from ftspec.runtime.measured import OUT_OF_MEMORY, Measured, from_records
from ftspec.runtime.measured_steps import STEPS
from ftspec.runtime.project import last_words, launcher
from ftspec.runtime.state import RunFolder

CHILD = Path(__file__).with_name("measured_steps.py")
POLL_SECONDS = 0.2
Say = Callable[[str], None]


class MeasurementError(Exception):
    """A measurement that came to nothing; `words` is the last that the script printed."""

    def __init__(self, message: str, words: str = "") -> None:
        super().__init__(message)
        self.words = words


def measure(
    plan: Plan, folder: Path, say: Say, *, python: str = sys.executable, base: Path | None = None
) -> Measured:
    """Run three optimizer steps, and an evaluated batch, of a plan's script.

    plan: compiled for the project folder `folder / "project"`, which is written here. say: is
    told what goes on. base: weights that were already converted from the plan's GGUF file.
    Memory that runs out is a result. Raises MeasurementError where there is none,
    KeyboardInterrupt where somebody asked to stop (the child is gone by then), OSError where the
    folder cannot be written.
    """
    project = folder / "project"
    write(project, emit(plan))
    log = RunFolder(folder, 0)
    with Interrupts() as interrupts, log.output.open("wb") as output:

        def run(command: Sequence[str], place: Path) -> int:
            with _child(command, place, output) as child:
                return _follow(child, Follower(folder / "progress.jsonl"), interrupts, say)

        if plan.model.gguf is not None and not _linked(project / plan.model.name, base):
            say("writing the GGUF file's weights as safetensors, for this measurement")
            if run([python, "convert.py"], project) != 0:
                raise MeasurementError("the GGUF file could not be converted", last_words(log))
        start = launcher(plan.model_dump(mode="json"), python)
        cuda = ["--cuda"] if plan.hardware.device == "cuda" else []
        code = run([*start, str(CHILD), str(folder), *cuda], project)
    records = [json.loads(path.read_text()) for path in sorted(folder.glob("measured.*.json"))]
    ran_out = any(record["exit"] == OUT_OF_MEMORY for record in records)
    if not records or (code != 0 and not ran_out):
        raise MeasurementError(_reason(code), last_words(log))
    return from_records(records)


def _linked(place: Path, base: Path | None) -> bool:
    """Put weights that are there already in the place where the script looks for them."""
    if base is None or not (base / "config.json").is_file():
        return False
    try:
        place.symlink_to(base.resolve(), target_is_directory=True)
    except OSError:  # a system without links
        return False
    return True


@contextlib.contextmanager
def _child(command: Sequence[str], place: Path, output: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process, in a session of its own; whatever happens, it is gone afterwards."""
    child = subprocess.Popen(
        command,
        cwd=place,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # it has nothing to save
            child.wait()


def _follow(
    child: subprocess.Popen[bytes], progress: Follower, interrupts: Interrupts, say: Say
) -> int:
    """Tell of a child's progress until its end; returns its exit code."""
    while True:
        done = child.poll() is not None
        for event in progress.new_events():
            if line := describe(event):
                say(line)
        if interrupts.count:
            raise KeyboardInterrupt
        if done:
            return child.returncode
        time.sleep(POLL_SECONDS)


def describe(event: Event) -> str | None:
    """Return an event of the child's as a line, or None where it says nothing to a reader."""
    match event["event"]:
        case "load":
            return "measuring: loading the model and the data"
        case "train":
            return f"measuring: {STEPS} steps"
        case "step":
            number, shape = event.get("number"), " x ".join(map(str, event.get("shape") or ()))
            rows = "the longest rows" if number == STEPS else "rows of all lengths"
            took = f"{event.get('seconds', 0):.2f} s, {event.get('tokens', 0):,} tokens"
            return f"measuring: step {number} of {STEPS} ({rows}, {shape}): {took}"
        case "evaluate":
            return "measuring: evaluating one batch of the longest rows"
    return None


def _reason(code: int) -> str:
    if code < 0:
        return f"killed by signal {-code}"
    if code == 0:
        return "the script ended without a step"
    return REASONS.get(code, f"the script crashed (exit code {code})")
