"""Read MLflow runs: a run's folder of metric files, or the database `mlflow.db`.

A metric's file has a line a value: `<time in ms> <value> <step>`. The database has the same in
its table `metrics`; of several runs in it the newest that logged a loss is read. The database is
opened read-only and immutable: nothing is written beside it, not even while it is in use.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

from ftspec.doctor.curves.log import Log
from ftspec.doctor.curves.readers.builder import Builder
from ftspec.doctor.curves.readers.keys import meaning
from ftspec.doctor.curves.readers.reader import SURE, Reader
from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.values import NAN, number

FORMAT = "mlflow"
DATABASE = b"SQLite format 3\0"
LARGEST = 512 * 1024 * 1024  # of a database that is packed or comes through a pipe

Series = dict[str, list[tuple[int, float]]]


def score(log: Log) -> float:
    """Say whether it is a folder with `metrics`, or a database (of whatever kind)."""
    if log.folder is not None:
        return SURE / 2 if is_run(log.folder) else 0.0
    return SURE if log.first_bytes[:16] == DATABASE else 0.0


def is_run(folder: Path) -> bool:
    """Say whether a folder is one run of MLflow's file store."""
    return (folder / "metrics").is_dir() and (folder / "meta.yaml").is_file()


def read(log: Log) -> Run:
    """Read the metrics; values of one step are one row."""
    builder = Builder()
    if log.folder is not None:
        _take(builder, _from_files(log.folder / "metrics", builder), {})
    else:
        _from_database(log, builder)
    return builder.run(log.name, FORMAT)


def _take(builder: Builder, series: Series, settings: Mapping[str, str]) -> None:
    """Give the rows in the order of their steps."""
    rows: dict[int, dict[str, float]] = defaultdict(dict)
    for name, values in series.items():
        for step, value in values:
            rows[step][name] = value
    for step in sorted(rows):
        builder.row({**rows[step], "step": float(step)})
    rate = number(settings.get("learning_rate"))
    if rate:
        builder.plan(learning_rate=rate)


def _from_files(folder: Path, builder: Builder) -> Series:
    series: Series = {}
    for file in sorted(folder.rglob("*")):
        if not file.is_file():
            continue
        name = file.relative_to(folder).as_posix()
        values = []
        for place, line in Log.of_path(file).lines():
            cells = line.split()
            value = number(cells[1]) if len(cells) in (2, 3) else None
            step = number(cells[2]) if len(cells) == 3 else float(place)
            if value is None or step is None or not step.is_integer():
                builder.problem(f"metrics/{name}: not a value and a step: {line[:40]}", place)
            else:
                values.append((int(step), value))
        series[name] = values
    return series


def _from_database(log: Log, builder: Builder) -> None:
    try:
        with closing(_open(log)) as database:
            newest = _newest(database, builder)
            if newest is None:
                return
            series: Series = defaultdict(list)
            metrics = database.execute(
                "select key, step, value, is_nan from metrics where run_uuid = ? "
                "order by step, timestamp",
                (newest,),
            )
            for key, step, value, is_nan in metrics:
                if isinstance(step, int) and isinstance(value, int | float):
                    series[str(key)].append((step, NAN if is_nan else float(value)))
            settings = database.execute(
                "select key, value from params where run_uuid = ?", (newest,)
            )
            _take(builder, series, {str(key): str(value) for key, value in settings})
    except (sqlite3.Error, OverflowError, MemoryError, UnicodeError) as error:
        builder.problem(f"the database cannot be read as MLflow's: {error}")


def _open(log: Log) -> sqlite3.Connection:
    if log.path is not None:
        return sqlite3.connect(f"{log.path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
    with log.open() as stream:
        data = log.take(stream, LARGEST)
    if not data.startswith(DATABASE):
        raise sqlite3.DatabaseError("it does not begin as databases do")
    database = sqlite3.connect(":memory:")
    database.deserialize(data)
    return database


def _newest(database: sqlite3.Connection, builder: Builder) -> str | None:
    """Return the run that began last among those that logged a loss."""
    logged: dict[str, set[str]] = defaultdict(set)
    for run, key in database.execute("select distinct run_uuid, key from metrics"):
        logged[str(run)].add(str(key))
    with_loss = [run for run, keys in logged.items() if _has_loss(keys)]
    started = dict(database.execute("select run_uuid, start_time from runs"))
    if len(with_loss) > 1:
        builder.note(f"the database holds {len(with_loss)} runs: the newest is read")
    return max(with_loss, key=lambda run: (started.get(run) or 0, run), default=None)


def _has_loss(keys: Iterable[str]) -> bool:
    return any(meaning(key).role in ("loss", "eval-loss") for key in keys)


READER = Reader(FORMAT, "MLflow", score, read)
