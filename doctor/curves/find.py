"""From a path to logs: a file is itself; in a folder the newest run or checkpoint is found."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ftspec.doctor.curves.log import HEAD_BYTES, UnreadableLogError

EVENTS = "events.jsonl"
STATE = "trainer_state.json"
SPEC = "ftspec.yaml"

_STEP = re.compile(rb'"global_step"\s*:\s*(\d{1,12})')


def find_logs(path: Path) -> tuple[Path, ...]:
    """Return the logs that a path means. Raises UnreadableLogError where there is none.

    A project folder means its newest run; a run's folder its `events.jsonl`; an output folder of
    the Hugging Face Trainer the `trainer_state.json` of the greatest step, its own or that of a
    checkpoint; a folder of such folders each of them.
    """
    if path.is_dir():
        here = _log_of(path)
        logs = (here,) if here else tuple(filter(None, map(_log_of, _folders(path))))
        if not logs:
            raise UnreadableLogError(
                f"`{path}` holds no log",
                f"looked for runs/<n>/{EVENTS}, {EVENTS}, {STATE} and checkpoint-<n>/{STATE}, "
                "there and one folder down",
            )
        return logs
    if not path.exists():
        raise UnreadableLogError(f"`{path}` does not exist", "give a log, or a folder with one")
    return (path,)


def spec_beside(log: Path) -> Path | None:
    """Return the `ftspec.yaml` of the project folder that a run's log lies in, if it is there."""
    folder = log.absolute().parent
    if folder.parent.name != "runs":
        return None
    spec = folder.parent.parent / SPEC
    return Path(os.path.relpath(spec)) if spec.is_file() else None


def _log_of(folder: Path) -> Path | None:
    newest = _newest_run(folder)
    if newest:
        return newest
    if (folder / EVENTS).is_file():
        return folder / EVENTS
    states = [folder / STATE, *(f / STATE for f in _folders(folder, "checkpoint-"))]
    states = [state for state in states if state.is_file()]
    return max(states, key=_global_step, default=None)


def _newest_run(folder: Path) -> Path | None:
    runs = folder if folder.name == "runs" else folder / "runs"
    numbered = [f for f in _folders(runs) if f.name.isascii() and f.name.isdigit()]
    logs = [f / EVENTS for f in sorted(numbered, key=lambda f: int(f.name))]
    return next((log for log in reversed(logs) if log.is_file()), None)


def _folders(folder: Path, prefix: str = "") -> list[Path]:
    try:
        return sorted(f for f in folder.iterdir() if f.name.startswith(prefix) and f.is_dir())
    except OSError:
        return []


def _global_step(state: Path) -> tuple[int, bool]:
    """Return the step that a state was saved at; of two alike, the one outside a checkpoint."""
    own = not state.parent.name.startswith("checkpoint-")
    try:
        with state.open("rb") as stream:
            match = _STEP.search(stream.read(HEAD_BYTES))
    except OSError:
        match = None
    number = state.parent.name.rpartition("-")[2]
    if match:
        return int(match.group(1)), own
    return (int(number) if number.isascii() and number.isdigit() else 0), own
