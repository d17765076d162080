"""A log that grows, is cut short, is replaced, or is not there yet."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from ftspec.doctor.curves.follow import follow


def lines(*steps: int) -> str:
    return "".join(json.dumps({"step": step, "loss": 2.0}) + "\n" for step in steps)


def sleeping(*changes: Callable[[], object]) -> Callable[[float], None]:
    """Make a sleep that changes something each time; it fails where nothing is left to do."""
    left: Iterator[Callable[[], object]] = iter(changes)

    def sleep(_: float) -> None:
        next(left)()

    return sleep


def test_a_log_is_read_anew_when_it_changed(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"

    def replace() -> None:
        other = tmp_path / "other"
        other.write_text(lines(7, 8))
        os.replace(other, log)

    runs = follow(
        log,
        sleep=sleeping(
            lambda: log.write_text(lines(1)),
            lambda: None,
            lambda: log.write_text(lines(1, 2, 3)),
            lambda: log.write_text(lines(5)),
            log.unlink,
            replace,
        ),
    )
    steps = [[record.step for record in next(runs).train] for _ in range(4)]
    assert steps == [[1], [1, 2, 3], [5], [7, 8]]


def test_a_newer_run_takes_the_place_of_the_older(tmp_path: Path) -> None:
    def start(run: int) -> None:
        folder = tmp_path / "runs" / str(run)
        folder.mkdir(parents=True)
        (folder / "events.jsonl").write_text('{"event": "step", "step": 1, "loss": 2.0}\n')

    start(1)
    runs = follow(tmp_path, sleep=sleeping(lambda: start(2)))
    assert [Path(next(runs).source).parent.name for _ in range(2)] == ["1", "2"]
