"""`ftspec run`: what it says, how it ends, and what it leaves, on projects made by hand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from commands import SCRIPT, Ftspec
from fakes import make_project

import ftspec.cli.python


@pytest.fixture(autouse=True)
def libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the training libraries for installed, whatever Python the tests run in."""
    monkeypatch.setattr(ftspec.cli.python, "missing_libraries", lambda python: ())


def ledger(project: Path, run: int = 1) -> Any:
    return json.loads((project / f"runs/{run}/run.json").read_text())


def test_a_run_to_its_end(here: Path, ftspec_: Ftspec) -> None:
    make_project(Path("bot"))
    answer = ftspec_("run", "bot")
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert lines[0] == "run 1: finished: bot/runs/1/final"
    assert lines[1].startswith("  trained     3 of 3 steps in ")
    assert lines[2:] == [
        "  loss        3.000 at first, 1.000 at last",
        "  held out    1.500 at last, best 1.500 at step 3",
        "  report      bot/runs/1/report.html",
        "next: ftspec diagnose bot",
    ]
    assert answer.err.splitlines() == [
        "run 1: loading the model and the data",
        "training: 3 steps, 40 rows",
        "step 1: loss 3.000, 1,234 tokens/s",
        "step 2: loss 1.500, 1,234 tokens/s",
        "step 3: loss 1.000, 1,234 tokens/s",
        "step 3: held-out loss 1.500",
        "finished at step 3",
    ]


def test_the_ledger_has_the_shape_that_programs_rely_on(here: Path, ftspec_: Ftspec) -> None:
    make_project(Path("bot"))
    answer = ftspec_("run", "bot", "--json")
    assert answer.code == 0
    assert answer.json == ledger(Path("bot"))
    document = answer.json
    assert document["schema_version"] == 1
    assert (document["state"], document["final"]) == ("finished", "final")
    assert document["data_hash"] == "d1g357"
    assert len(document["plan_hash"]) == 16
    (attempt,) = document["attempts"]
    assert attempt["started"] <= attempt["ended"]
    assert (attempt["exit"], attempt["reason"]) == (0, "finished")
    assert (attempt["resumed_from"], attempt["constants"], attempt["changes"]) == (None, {}, [])


def test_a_finished_run_has_nothing_left_to_do(here: Path, ftspec_: Ftspec) -> None:
    make_project(Path("bot"))
    ftspec_("run", "bot")
    again = ftspec_("run", "bot")
    assert again.code == 0
    assert again.err == ""
    assert again.out == (
        "run 1: nothing is left to do: bot/runs/1/final\n"
        "next: ftspec diagnose bot, or ftspec run bot --new\n"
    )
    new = ftspec_("run", "bot", "--new")
    assert "run 2: finished: bot/runs/2/final" in new.out
    assert len(ledger(Path("bot"))["attempts"]) == 1


def test_a_crash_shows_the_last_words(here: Path, ftspec_: Ftspec) -> None:
    make_project(Path("bot"), end="raise")
    answer = ftspec_("run", "bot")
    assert answer.code == 1
    assert "RuntimeError: the fuse is blown" in answer.err
    assert "(all that it printed: bot/runs/1/train.log)" in answer.err
    assert answer.out.splitlines()[0] == "run 1 failed: the script crashed (exit code 1)"
    assert answer.last == "next: ftspec diagnose bot"
    assert ledger(Path("bot"))["state"] == "failed"
    ftspec_("run", "bot")
    assert answer.err.count("the fuse is blown") == ftspec_("run", "bot").err.count("fuse is blown")


@pytest.mark.parametrize(
    ("code", "state", "reason"),
    [
        (75, "stopped", "stopped on request, with a checkpoint"),
        (76, "failed", "out of GPU memory"),
        (77, "failed", "the loss is not finite"),
        (78, "failed", "data or settings cannot be used"),
        (79, "failed", "cannot write"),
        (3, "failed", "the script crashed (exit code 3)"),
        ("kill", "failed", "killed by signal 9"),
    ],
)
def test_exit_codes_have_reasons(
    code: int | str, state: str, reason: str, here: Path, ftspec_: Ftspec
) -> None:
    make_project(Path("bot"), steps=1, end=code)
    answer = ftspec_("run", "bot")
    assert answer.code == 1
    assert answer.out.splitlines()[0].endswith(f": {reason}")
    found = ledger(Path("bot"))
    assert (found["state"], found["attempts"][-1]["reason"]) == (state, reason)
    assert found["attempts"][-1]["exit"] == (-9 if code == "kill" else code)
    if state == "stopped":
        assert answer.last == "next: ftspec run bot   (goes on with it)"
    else:
        assert answer.last == "next: ftspec diagnose bot"


def test_a_run_that_never_began_has_no_log_to_diagnose(here: Path, ftspec_: Ftspec) -> None:
    make_project(Path("bot"))
    Path("bot/train.py").write_text("import sys\nprint('no such data')\nsys.exit(78)\n")
    answer = ftspec_("run", "bot")
    assert "no such data" in answer.err
    assert answer.last == "next: ftspec run bot   (once what it says is mended)"


def test_folders_that_are_no_project(small: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("run", "tiny")
    assert answer.code == 2
    assert "error: `tiny` holds no plan.json: it is not a project" in answer.err
    assert "= help: build one: ftspec build SPEC -o DIR" in answer.err
    make_project(Path("bot"))
    Path("bot/train.py").unlink()
    assert "`bot` has no train.py" in ftspec_("run", "bot").err
    Path("bot/plan.json").write_text("{")
    assert "is not JSON" in ftspec_("run", "bot").err
    assert ftspec_("run", "nope").code == 2


def test_missing_libraries_are_named(
    here: Path, ftspec_: Ftspec, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_project(Path("bot"))
    monkeypatch.setattr(ftspec.cli.python, "missing_libraries", lambda python: ("torch", "trl"))
    answer = ftspec_("run", "bot")
    assert answer.code == 1
    assert "the scripts need torch, trl, which this Python does not have" in answer.err
    assert "pip install 'ftspec[train]'" in answer.err
    assert not Path("bot/runs").exists()


def test_another_python_may_be_named_by_a_relative_path(here: Path, ftspec_: Ftspec) -> None:
    make_project(Path("bot"))
    Path("bin").mkdir()
    Path("bin/python").write_text(f'#!/bin/sh\necho "by mine"\nexec {sys.executable} "$@"\n')
    Path("bin/python").chmod(0o755)
    assert ftspec_("run", "bot", "--python", "bin/python").code == 0
    assert "by mine" in Path("bot/runs/1/train.log").read_text()
    missing = ftspec_("run", "bot", "--python", "bin/pithon")
    assert missing.code == 2
    assert "`--python bin/pithon`: there is no such program" in missing.err


def test_runs_that_cannot_be_written(here: Path, ftspec_: Ftspec) -> None:
    make_project(Path("bot"))
    Path("bot/runs").write_text("in the way")
    answer = ftspec_("run", "bot")
    assert answer.code == 1
    assert "`bot` cannot be written" in answer.err


def test_a_spec_is_built_and_run(
    small: Path, ftspec_: Ftspec, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = make_project(Path("fake"))
    Path("python").write_text(f"#!/bin/sh\nexec {sys.executable} {built.resolve()}/train.py\n")
    Path("python").chmod(0o755)
    script = (built / "train.py").read_text()
    here = f"HERE = Path({str(small.parent / 'small-project')!r})"
    (built / "train.py").write_text(script.replace("HERE = Path(__file__).resolve().parent", here))
    answer = ftspec_("run", small.name, "--python", "./python")
    assert answer.code == 0
    assert "   create  small-project/train.py" in answer.err
    assert "run 1: finished: small-project/runs/1/final" in answer.out
    Path("small-project/train.py").write_text("# mine\n")
    edited = ftspec_("run", small.name, "--python", "./python")
    assert edited.code == 1
    assert " conflict  small-project/train.py" in edited.err


def test_findings_stand_against_a_run(big: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("run", big.name, "--gpu", "rtx-4090")
    assert answer.code == 1
    assert "error[FT201]" in answer.err
    assert not Path("big-project").exists()


# Signals, with the real console script in a session of its own


def start(project: Path, steps: int = 2) -> subprocess.Popen[str]:
    """Start `ftspec run`, and wait until it has trained some steps."""
    child = subprocess.Popen(
        [SCRIPT, "run", str(project)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    events = project / "runs/1/events.jsonl"
    until = time.monotonic() + 30
    while not (events.exists() and events.read_text().count('"step"') > steps):
        assert time.monotonic() < until, "no steps"
        assert child.poll() is None, child.communicate()
        time.sleep(0.05)
    return child


def alive(project: Path) -> bool:
    """Say whether a train.py of a project still writes events."""
    events = project / "runs/1/events.jsonl"
    before = events.stat().st_size
    time.sleep(0.5)
    return events.stat().st_size > before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_to_stop_saves_and_the_next_run_goes_on(
    number: signal.Signals, here: Path, ftspec_: Ftspec
) -> None:
    project = make_project(here / "bot", steps=400, pause=0.05)
    child = start(project)
    os.kill(child.pid, number)
    out, err = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "stopping after this step, with a checkpoint (Ctrl-C again: at once)" in err
    assert "checkpoint written" in err
    assert "Traceback" not in err
    assert out.startswith("run 1: stopped on request, with a checkpoint\n")
    assert "\nnext: ftspec run " in out
    assert out.endswith("   (goes on with it)\n")
    assert ledger(project)["state"] == "stopped"
    assert not alive(project)
    saved = next((project / "runs/1").glob("checkpoint-*")).name
    make_project(project, steps=int(saved.split("-")[1]) + 2)
    again = ftspec_("run", project)
    assert again.code == 0
    assert f"going on from {saved}: " in again.err
    assert [item["resumed_from"] for item in ledger(project)["attempts"]] == [None, saved]
    assert ledger(project)["state"] == "finished"


def test_a_second_ctrl_c_kills(here: Path) -> None:
    project = make_project(here / "bot", steps=400, pause=0.05, deaf=True)
    child = start(project)
    os.kill(child.pid, signal.SIGINT)
    time.sleep(0.6)
    assert child.poll() is None
    os.kill(child.pid, signal.SIGINT)
    out, err = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "killed: what was done since the last checkpoint is lost" in err
    assert out.startswith("run 1: killed on request; the checkpoints before it stand\n")
    assert ledger(project)["attempts"][0]["exit"] == -9
    assert not alive(project)
