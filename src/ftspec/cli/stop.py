"""`ftspec stop`: have a run save a checkpoint and end."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import click

from ftspec.cli.failure import RunFailedError
from ftspec.cli.output import command
from ftspec.cli.status import looked_at
from ftspec.runtime.child import Found
from ftspec.runtime.process import Process
from ftspec.runtime.progress import Progress, progress

POLL_SECONDS = 0.1
KILLED_SECONDS = 10


@click.command()
@click.argument("project", default=".")
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=120,
    show_default=True,
    help="Seconds to wait for the checkpoint.",
)
@click.option("--kill", is_flag=True, help="Kill it where it has not ended by then.")
def stop(project: str, grace: float, kill: bool) -> int:
    """Ask the run to stop after its step, with a checkpoint; say what became of it."""
    folder = Path(project)
    found, _ = looked_at(folder)
    asked = found.supervisor or found.child
    if asked is None:
        print(f"run {found.run.number} does not run: {found.state}")
        return 0
    if asked.elsewhere:
        raise RunFailedError(f"it runs on {asked.host}", f"there: {command('stop', project)}")
    print(f"asked process {asked.pid} to save and end", file=sys.stderr)
    _ask(found, asked)
    ended = _wait(folder, found, asked, grace)
    if not ended and kill:
        for one in (found.child, found.supervisor):
            if one is not None and one.alive:
                Found(one).kill()
        ended = _wait(folder, found, asked, KILLED_SECONDS)
        print(f"it did not end within {grace:g} s, and was killed", file=sys.stderr)
    if not ended:
        again = command("stop", project, "--kill")
        raise RunFailedError(f"it still saves, or does not answer, after {grace:g} s", again)
    print(_said(folder, found))
    print(f"next: {command('run', project)}   (goes on with it)")
    return 0


def _ask(found: Progress, asked: Process) -> None:
    if found.supervisor is None:
        Found(asked).ask_to_stop()
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(asked.pid, signal.SIGTERM)


def _wait(project: Path, found: Progress, asked: Process, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while asked.alive or (found.child is not None and found.child.alive):
        if time.monotonic() > until:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _said(project: Path, before: Progress) -> str:
    now = progress(project, before.run.number) or before
    newest = now.run.checkpoints()
    if now.run.finished:
        return f"run {now.run.number} had finished: {now.run.path / 'final'}"
    if not newest:
        return f"run {now.run.number} stopped at step {now.step}; there was nothing to save"
    step, folder = newest[-1]
    lost = f", {now.step - step} steps after it are lost" if now.step > step else ""
    return f"run {now.run.number} stopped; its newest checkpoint is {folder} (step {step}{lost})"
