"""A run that outlives its supervisor: picked up, looked at, followed, stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from commands import SCRIPT, Ftspec
from fakes import make_project

import ftspec.cli.app
import ftspec.cli.python
from ftspec.runtime.lock import holder_of
from ftspec.runtime.process import from_json


@pytest.fixture(autouse=True)
def libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ftspec.cli.python, "missing_libraries", lambda python: ())
    verbs = {name: (name, "") for name in ("status", "logs", "stop")}
    monkeypatch.setattr(ftspec.cli.app, "VERBS", {**ftspec.cli.app.VERBS, **verbs})


@pytest.fixture
def project(here: Path) -> Iterator[Path]:
    """A project that trains for 20 s if it is let; nothing of it is left afterwards."""
    made = make_project(here / "bot", steps=400, pause=0.05)
    yield made
    for process in psutil.process_iter():
        try:
            if str(made) in " ".join(process.cmdline()) or process.cwd() == str(made):
                process.kill()
        except psutil.Error:
            pass


def start(project: Path) -> subprocess.Popen[bytes]:
    """Start `ftspec run` as a process of its own, and wait until it trains."""
    # Its Python is taken to have the training libraries: another path to the same one.
    python = project.parent / "python"
    if not python.exists():
        python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        python.chmod(0o755)
    command = [SCRIPT, "run", str(project), "--python", str(python)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_for_steps(project, 2)
    until = time.monotonic() + 30
    while (holder := holder_of(project)) is None or holder.pid != child.pid:
        if child.poll() is not None:
            return child
        assert time.monotonic() < until, "the project was not taken"
        time.sleep(0.05)
    time.sleep(0.3)  # from there to where requests to stop are heard
    return child


def wait_for_steps(project: Path, count: int) -> None:
    events = project / "runs/1/events.jsonl"
    until = time.monotonic() + 30
    while not (events.exists() and events.read_text().count('"step"') > count):
        assert time.monotonic() < until, "no steps"
        time.sleep(0.05)


def ledger(project: Path) -> Any:
    return json.loads((project / "runs/1/run.json").read_text())


def end(child: subprocess.Popen[bytes]) -> bytes:
    _, err = child.communicate(timeout=30)
    return err


def test_a_killed_supervisor_leaves_a_run_that_goes_on_and_is_picked_up(
    project: Path, ftspec_: Ftspec
) -> None:
    first = start(project)
    first.kill()
    end(first)
    trains = from_json(ledger(project)["attempts"][0]["process"])
    assert trains is not None and trains.alive
    seen = ftspec_("status", project)
    assert f"run 1: trains (process {trains.pid}); nobody follows it" in seen.out
    assert seen.last == f"next: ftspec run {project}   (follows it)"

    second = start(project)
    assert "nobody follows it" not in ftspec_("status", project).out
    os.kill(second.pid, signal.SIGINT)
    err = end(second).decode()
    assert second.returncode == 130
    assert f"run 1 is still going on (process {trains.pid}): following" in err
    (attempt,) = ledger(project)["attempts"]
    assert (attempt["exit"], attempt["kind"]) == (75, "stopped")
    assert not trains.alive


def test_a_run_that_ended_unseen_is_written_down_and_gone_on_with(
    project: Path, ftspec_: Ftspec
) -> None:
    first = start(project)
    trains = ledger(project)["attempts"][0]["process"]["pid"]
    first.kill()
    end(first)
    os.kill(trains, signal.SIGKILL)
    time.sleep(0.3)
    assert "ended while nobody followed it" in ftspec_("status", project).out
    make_project(project, steps=4)
    assert ftspec_("run", project).code == 0
    lost, last = ledger(project)["attempts"]
    assert lost["reason"] == "it ended while nobody followed it"
    assert (lost["exit"], last["exit"]) == (None, 0)


def test_two_runs_at_once(project: Path, ftspec_: Ftspec) -> None:
    first = start(project)
    again = ftspec_("run", project)
    assert again.code == 1
    assert f"error: process {first.pid} runs this project already" in again.err
    assert f"= help: ftspec status {project}" in again.err
    first.kill()
    end(first)
    new = ftspec_("run", project, "--new")  # the lock is free, and the run still trains
    assert new.code == 1 and "runs this project already" in new.err
    assert not (project / "runs/2").exists()


def test_detached_looked_at_and_stopped(
    project: Path, ftspec_: Ftspec, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = project.parent / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    answer = ftspec_("run", project, "--detach", "--python", python)
    assert answer.code == 0
    assert "run 1 trains in the background (process " in answer.out
    assert ftspec_("run", project, "--detach").code == 1
    wait_for_steps(project, 3)
    seen = ftspec_("status", project, "--json")
    assert seen.json["state"] == "running"
    assert seen.json["step"] >= 2 and seen.json["total_steps"] == 400
    assert seen.json["supervisor"] != seen.json["process"]
    assert "  time left" in ftspec_("status", project).out
    stopped = ftspec_("stop", project)
    assert stopped.code == 0
    assert "run 1 stopped at step" in stopped.out or "its newest checkpoint is" in stopped.out
    assert ledger(project)["state"] == "stopped"
    log = ftspec_("logs", project, "-f")
    assert log.out.splitlines()[0] == "training: 400 steps, 40 rows"
    assert log.out.splitlines()[-1].startswith("stopped at step")
    assert "arguments: --resume" in ftspec_("logs", project, "--output").out
    again = ftspec_("stop", project)
    assert (again.code, again.out) == (0, "run 1 does not run: stopped\n")


def test_what_does_not_answer_is_said_and_killed_on_request(here: Path, ftspec_: Ftspec) -> None:
    project = make_project(here / "bot", steps=400, pause=0.05, deaf=True)
    first = start(project)
    answer = ftspec_("stop", project, "--grace", "0.5")
    assert answer.code == 1
    assert "it still saves, or does not answer, after 0.5 s" in answer.err
    assert "--kill" in answer.err
    killed = ftspec_("stop", project, "--grace", "0", "--kill")
    assert killed.code == 0
    assert "was killed" in killed.err
    end(first)


def test_projects_without_a_run(here: Path, ftspec_: Ftspec) -> None:
    make_project(here / "bot")
    for verb in ("status", "logs", "stop"):
        answer = ftspec_(verb, "bot")
        assert answer.code == 2
        assert "`bot` has no run yet" in answer.err
        assert ftspec_(verb, "nothing").code == 2
    ftspec_("run", "bot")
    assert "has no run 7" in ftspec_("status", "bot", "--run", "7").err
    assert ftspec_("status", "bot").out.startswith("run 1: finished\n")
    (here / "bot/runs/1/run.json").write_text('{"schema_version": 2}')
    other = ftspec_("run", "bot")
    assert other.code == 2
    assert "is of layout 2, and this version reads 1" in other.err
