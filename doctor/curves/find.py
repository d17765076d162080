"""From a path to logs: a file is itself; in a folder the newest run or checkpoint is found."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ftspec.doctor.curves.log import HEAD_BYTES, Log, UnreadableLogError
from ftspec.doctor.curves.readers import READERS, mlflow, read, tfevents

EVENTS = "events.jsonl"
STATE = "trainer_state.json"
SPEC = "ftspec.yaml"
DEPTH = 2  # folders down that logs are looked for
COMPARED_BYTES = 256 * 1024 * 1024  # larger logs of one run are not read to compare them
RECORDS = 3  # a file of another name is a log if it seems to hold as many

NAMED = ("trainer_log.jsonl", "logging.jsonl", "wandb-history.jsonl", "mlflow.db")
ENDINGS = (".jsonl", ".csv", ".tsv", ".log", ".txt", ".out", ".err", ".json", ".wandb", ".gz")
NO_LOGS = re.compile(r"requirements|readme|licen[cs]e|vocab|merges|tokenizer|config|dataset", re.I)

_STEP = re.compile(rb'"global_step"\s*:\s*(\d{1,12})')
_STARTED = re.compile(r"^start_time: *(\d+)", re.M)


def find_logs(path: Path) -> tuple[Path, ...]:
    """Return the logs that a path means. Raises UnreadableLogError where there is none.

    A project folder means its newest run; a run's folder its `events.jsonl`; an output folder of
    the Hugging Face Trainer the `trainer_state.json` of the greatest step, its own or that of a
    checkpoint; `wandb`, `mlruns`, `lightning_logs` and TensorBoard's `runs` their newest run.
    Where several of these tell of one run, the one that tells most is taken. Otherwise a folder
    means the logs of any format that lie in it, or up to two folders down. A folder is returned
    where the log is one (MLflow, TensorBoard).
    """
    if not path.exists():
        raise UnreadableLogError(f"`{path}` does not exist", "give a log, or a folder with one")
    if not path.is_dir():
        return (path,)
    folders = [path]
    for _ in range(DEPTH + 1):
        logs = [log for folder in folders for log in _logs_of(folder)]
        if logs:
            return tuple(logs)
        folders = [inner for folder in folders for inner in _folders(folder)]
    raise UnreadableLogError(
        f"`{path}` holds no log",
        f"looked for runs/<n>/{EVENTS}, {STATE}, wandb, mlruns, TensorBoard events, and files "
        f"with records in them, there and {DEPTH} folders down",
    )


def spec_beside(log: Path) -> Path | None:
    """Return the `ftspec.yaml` of the project folder that a run's log lies in, if it is there."""
    folder = log.absolute().parent
    if folder.parent.name != "runs":
        return None
    spec = folder.parent.parent / SPEC
    return Path(os.path.relpath(spec)) if spec.is_file() else None


def _logs_of(folder: Path) -> Sequence[Path]:
    """Return the log of the run that a folder is, else the logs that lie in it."""
    own = _newest_run(folder) or _file(folder / EVENTS)
    if own:
        return (own,)
    places = (
        _newest_state(folder),
        *(_file(folder / name) for name in NAMED),
        _tensorboard(folder),
        _wandb(folder),
        _mlflow(folder),
        _lightning(folder),
    )
    known = [place for place in places if place is not None]
    return (_richest(known),) if known else _unnamed(folder)


def _newest_run(folder: Path) -> Path | None:
    runs = folder if folder.name == "runs" else folder / "runs"
    numbered = [f for f in _folders(runs) if f.name.isascii() and f.name.isdigit()]
    logs = [f / EVENTS for f in sorted(numbered, key=lambda f: int(f.name))]
    return next((log for log in reversed(logs) if log.is_file()), None)


def _newest_state(folder: Path) -> Path | None:
    states = [folder / STATE, *(f / STATE for f in _folders(folder, "checkpoint-"))]
    states = [state for state in states if state.is_file()]
    return max(states, key=_global_step, default=None)


def _tensorboard(folder: Path) -> Path | None:
    """Return the events in a folder, or those of the newest folder in its `runs` or `logs`."""
    here = _events_of(folder)
    if here:
        return here
    for name in ("runs", "logs", "tensorboard", "tb"):
        inner = [log for f in _folders(folder / name) if (log := _events_of(f))]
        inner += [log] if (log := _events_of(folder / name)) else []
        if inner:
            return max(inner, key=_changed)
    return None


def _events_of(folder: Path) -> Path | None:
    files = tfevents.event_files(folder)
    return files[0] if len(files) == 1 else folder if files else None


def _wandb(folder: Path) -> Path | None:
    """Return the log of a run's folder, else that of the newest run in `wandb`."""
    own = sorted(folder.glob("run-*.wandb"))
    if own:
        output = _file(folder / "files" / "output.log")
        return _richest([own[-1], *([output] if output else [])])
    runs = folder if folder.name == "wandb" else folder / "wandb"
    found = [f for f in _folders(runs) if re.match(r"(?:offline-)?run-\d", f.name)]
    found.sort(key=lambda f: f.name.removeprefix("offline-"))
    return next((log for f in reversed(found) if (log := _wandb(f))), None)


def _mlflow(folder: Path) -> Path | None:
    """Return a run's folder, else the newest run of all experiments in `mlruns`."""
    if mlflow.is_run(folder):
        return folder
    store = folder if folder.name == "mlruns" else folder / "mlruns"
    runs = [run for each in _folders(store) for run in _folders(each) if mlflow.is_run(run)]
    return max(runs, key=_started, default=None)


def _lightning(folder: Path) -> Path | None:
    store = folder if folder.name == "lightning_logs" else folder / "lightning_logs"
    found = [f for f in _folders(store, "version_") if f.name[8:].isdigit()]
    found.sort(key=lambda f: int(f.name[8:]))
    logs = (_file(f / "metrics.csv") or _events_of(f) for f in reversed(found))
    return next((log for log in logs if log), None)


def _unnamed(folder: Path) -> list[Path]:
    """Return the files in a folder that hold records in any format."""
    try:
        files = sorted(f for f in folder.iterdir() if f.is_file())
    except OSError:
        return []
    return [
        file
        for file in files
        if file.suffix in ENDINGS and not NO_LOGS.search(file.name) and _holds_records(file)
    ]


def _holds_records(file: Path) -> bool:
    try:
        log = Log.of_path(file)
        return max(reader.score(log) for reader in READERS) >= RECORDS
    except (OSError, UnreadableLogError):
        return False


def _richest(logs: Sequence[Path]) -> Path:
    """Return, of logs of one run, the one with evaluations, the last step and most records.

    Of those alike the first; where one is too large to be read for this, the first as well.
    """
    if len(logs) == 1 or sum(map(_size, logs)) > COMPARED_BYTES:
        return logs[0]
    return max(logs, key=_riches)


def _riches(path: Path) -> tuple[bool, bool, float, int]:
    try:
        run = read(Log.of_path(path))
    except (OSError, UnreadableLogError):
        return False, False, 0.0, 0
    steps: Iterable[float] = (r.step for r in run.judged[-1:] if r.step is not None)
    return bool(run.train), bool(run.evals), max(steps, default=-math.inf), len(run.judged)


def _folders(folder: Path, prefix: str = "") -> list[Path]:
    try:
        return sorted(f for f in folder.iterdir() if f.name.startswith(prefix) and f.is_dir())
    except OSError:
        return []


def _file(path: Path) -> Path | None:
    return path if path.is_file() else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _started(run: Path) -> tuple[int, str]:
    try:
        match = _STARTED.search((run / "meta.yaml").read_text(errors="replace"))
    except OSError:
        match = None
    return (int(match.group(1)) if match else 0), run.name


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
