"""`ftspec logs`: what a run has told, and goes on telling."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from ftspec.cli.status import looked_at
from ftspec.runtime.events import Follower
from ftspec.runtime.live import describe
from ftspec.runtime.progress import progress
from ftspec.runtime.state import RunFolder

POLL_SECONDS = 0.5


@click.command()
@click.argument("project", default=".")
@click.option("--run", "number", type=click.IntRange(1), help="Which run; the newest if left out.")
@click.option("--follow", "-f", is_flag=True, help="Go on until the run has ended.")
@click.option("--output", "printed", is_flag=True, help="What the scripts printed, instead.")
@click.option("--json", "as_json", is_flag=True, help="The events as they are, a line each.")
def logs(project: str, number: int | None, follow: bool, printed: bool, as_json: bool) -> int:
    """Show a run's events, a line each: steps, evaluations, checkpoints, how it ended."""
    if printed and as_json:
        raise click.UsageError("--output and --json are two things: what was printed, and events.")
    found, _ = looked_at(Path(project), number)
    run = found.run
    tail = _Printed(run) if printed else _Events(run, as_json=as_json)
    while True:
        going = follow and _goes_on(Path(project), run)
        tail.show()
        sys.stdout.flush()
        if not going:
            return 0
        time.sleep(POLL_SECONDS)


def _goes_on(project: Path, run: RunFolder) -> bool:
    now = progress(project, run.number)
    return now is not None and (now.child is not None or now.state == "running")


class _Events:
    """The events that were added since the last look."""

    def __init__(self, run: RunFolder, *, as_json: bool) -> None:
        self._follower, self._as_json = Follower(run.events), as_json

    def show(self) -> None:
        if self._as_json:
            import json

            for event in self._follower.new_events():
                print(json.dumps(dict(event)))
            return
        for event in self._follower.new_events():
            line = describe(event)
            if line is not None:
                print(line)


class _Printed:
    """What was printed since the last look."""

    def __init__(self, run: RunFolder) -> None:
        self._path, self._offset = run.output, 0

    def show(self) -> None:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                added = file.read()
        except FileNotFoundError:
            return
        self._offset += len(added)
        sys.stdout.write(added.decode("utf-8", errors="replace"))
