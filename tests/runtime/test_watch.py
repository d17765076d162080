"""Watchdogs, by a clock that the test moves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ftspec.runtime.state import RunFolder
from ftspec.runtime.watch import Limits, Watch, prescribed

LIMITS = Limits(quiet=100, pauses=20, loading=1000, look=10, steps=5)


class Clock:
    def __init__(self) -> None:
        self.now = 5.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path, 1)


def test_loading_may_take_long_where_something_is_printed(run: RunFolder) -> None:
    clock = Clock()
    watch = Watch(run, LIMITS, clock)
    clock.now += 999
    assert watch.hang() is None
    run.output.write_text("downloading\n")
    assert watch.hang() is None
    clock.now += 999
    assert watch.hang() is None
    clock.now += 2
    finding = watch.hang()
    assert finding is not None and finding.evidence["phase"] == "load"


def test_a_run_hangs_when_it_is_silent_for_much_longer_than_before(run: RunFolder) -> None:
    clock = Clock()
    watch = Watch(run, LIMITS, clock)
    clock.now += 500  # loading is no pause between signs of life
    watch.event({"event": "start"})
    clock.now += 101
    assert watch.hang() is not None
    for beat in range(3):
        run.beat.write_text("x" * beat)
        watch.hang()
        clock.now += 30
    assert watch.hang() is None, "20 times the longest pause, 101 s, are 2,020 s"
    clock.now += 2100
    assert watch.hang() is not None


def steps(run: RunFolder, losses: list[float]) -> None:
    lines = [
        json.dumps({"event": "step", "step": number, "loss": loss, "learning_rate": 1e-3})
        for number, loss in enumerate(losses, 1)
    ]
    run.events.write_text("\n".join(lines) + "\n")


FALLING = [3 - 0.05 * step for step in range(40)]


def test_a_divergence_is_seen_twice_before_it_counts(run: RunFolder) -> None:
    clock = Clock()
    watch = Watch(run, LIMITS, clock)
    losses = [*FALLING, *[2 + 0.4 * step for step in range(20)]]
    steps(run, losses)

    def look() -> str | None:
        clock.now += 11
        for _ in range(5):
            watch.event({"event": "step"})
        finding = watch.diverges()
        return finding.name if finding else None

    assert look() is None
    assert look() == "diverges"
    steps(run, FALLING)
    assert look() is None
    steps(run, losses)
    assert look() is None, "once again it has to be seen twice"
    clock.now += 11
    assert watch.diverges() is None, "nothing new to judge"


def test_prescriptions_for_some_findings(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    steps(run, [*FALLING, float("nan"), float("nan")])
    (run.path / "ftspec.yaml").write_text(
        "model: m\nmethod: lora\ndata: d\ntrain: {learning_rate: 1e-3}\n"
    )
    assert prescribed(run, ("nan",)).get("train.learning_rate") == pytest.approx(1e-4)
    assert prescribed(run, ("flat",)) == {}
    run.events.unlink()
    assert prescribed(run, ("nan",)) == {}
