"""`ftspec diagnose`: --format, --html, --apply, --watch and several logs."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Ftspec, shell

import ftspec.cli.watch
from ftspec.doctor.curves.log import Log
from ftspec.doctor.curves.readers import read
from ftspec.doctor.curves.series import Run

SPEC = "model: tiny\nmethod: lora\ndata: rows.jsonl\ntrain:\n  learning_rate: 2e-4   # mine\n"
AXOLOTL = "base_model: x\ndatasets: []\nadapter: lora\nlearning_rate: 2e-4 # mine\n"


def events(losses: list[float], rate: float = 2e-4, end: bool = True) -> str:
    size = len(losses)
    rows = [{"event": "start", "total_steps": size, "epochs": 1, "learning_rate": rate}]
    rows += [
        {"event": "step", "step": step, "epoch": step / size, "loss": loss, "grad_norm": 1.0}
        | {"learning_rate": rate}
        for step, loss in enumerate(losses, 1)
    ]
    rows += [{"event": "end", "step": size}] if end else []
    return "".join(json.dumps(row) + "\n" for row in rows)


def falling(offset: float = 0.0, seed: int = 1) -> list[float]:
    source = random.Random(seed)
    return [0.8 + 2 * math.exp(-n / 20) + offset + source.gauss(0, 0.01) for n in range(100)]


FLAT = [2.5 + 0.01 * (place % 3) for place in range(60)]


@pytest.fixture
def flat_log(here: Path) -> Path:
    (here / "out").mkdir()
    (here / "out/log.jsonl").write_text(events(FLAT))
    (here / "spec.yaml").write_text(SPEC)
    return here / "out/log.jsonl"


def test_format_github_is_a_line_a_finding(flat_log: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("diagnose", "out/log.jsonl", "--format", "github", "--spec", "spec.yaml")
    assert answer.code == 1
    assert answer.out.startswith("::warning file=spec.yaml,line=5,title=FT")
    assert ftspec_("diagnose", "out/log.jsonl", "--format", "json").json["schema_version"] == 1
    assert ftspec_("diagnose", "out/log.jsonl", "--format", "github", "--json").code == 2


def test_html_is_written_beside_the_report(flat_log: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("diagnose", "out/log.jsonl", "--html", "report.html")
    assert (answer.code, answer.err) == (1, "wrote report.html\n")
    assert "warning[FT" in answer.out
    assert Path("report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    failed = ftspec_("diagnose", "out/log.jsonl", "--html", "nowhere/report.html")
    assert failed.code == 1
    assert "cannot be written" in failed.err


def test_apply_edits_the_spec_and_keeps_comments(flat_log: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("diagnose", "out/log.jsonl", "--spec", "spec.yaml", "--apply")
    assert answer.code == 1  # the findings are still those of this run
    assert Path("spec.yaml").read_text() == SPEC.replace("2e-4 ", "0.002 ")
    assert "+  learning_rate: 0.002   # mine" in answer.err
    again = ftspec_("diagnose", "out/log.jsonl", "--spec", "spec.yaml", "--apply", "flat")
    assert Path("spec.yaml").read_text() == SPEC.replace("2e-4 ", "0.002 "), again.err


def test_apply_may_stand_before_the_log(flat_log: Path, ftspec_: Ftspec) -> None:
    ftspec_("diagnose", "--spec", "spec.yaml", "--apply", "out/log.jsonl")
    assert "0.002" in Path("spec.yaml").read_text()


def test_apply_takes_the_spec_in_the_log_s_folder(flat_log: Path, ftspec_: Ftspec) -> None:
    Path("out/ftspec.yaml").write_text(SPEC)
    ftspec_("diagnose", "out", "--apply", "flat")
    assert "0.002   # mine" in Path("out/ftspec.yaml").read_text()


def test_apply_edits_another_trainer_s_config(flat_log: Path, ftspec_: Ftspec) -> None:
    Path("out/axolotl.yml").write_text(AXOLOTL)
    shown = ftspec_("diagnose", "out/log.jsonl")
    assert "+++ out/axolotl.yml\n" in shown.out
    assert shown.last == "next: change out/axolotl.yml as shown first, then run it anew"
    answer = ftspec_("diagnose", "out/log.jsonl", "--apply")
    assert Path("out/axolotl.yml").read_text() == AXOLOTL.replace("2e-4", "0.002")
    assert "+learning_rate: 0.002 # mine" in answer.err
    named = Path("elsewhere.yml")
    named.write_text(AXOLOTL)
    ftspec_("diagnose", "out/log.jsonl", "--config", "elsewhere.yml", "--apply", "FT403")
    assert "0.002" in named.read_text()


def test_apply_says_what_it_cannot_do(flat_log: Path, ftspec_: Ftspec) -> None:
    alone = ftspec_("diagnose", "out/log.jsonl", "--apply")
    assert alone.code == 2
    assert "no spec or config beside the log" in alone.err
    missing = ftspec_("diagnose", "out/log.jsonl", "--spec", "spec.yaml", "--apply", "spikes")
    assert missing.code == 1
    assert "`spikes` was not found in this log" in missing.err
    Path("other.jsonl").write_text(events(FLAT[:-1]))
    both = ftspec_("diagnose", "out/log.jsonl", "other.jsonl", "--spec", "spec.yaml", "--apply")
    assert both.code == 1
    assert "--apply treats one run" in both.err
    assert Path("spec.yaml").read_text() == SPEC


def test_apply_changes_nothing_of_a_healthy_run(here: Path, ftspec_: Ftspec) -> None:
    Path("log.jsonl").write_text(events(falling()))
    Path("spec.yaml").write_text(SPEC)
    answer = ftspec_("diagnose", "log.jsonl", "--spec", "spec.yaml", "--apply")
    assert answer.code == 0
    assert "nothing to change" in answer.err
    assert Path("spec.yaml").read_text() == SPEC


def test_a_config_that_is_none_is_refused(flat_log: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("diagnose", "out/log.jsonl", "--config", "spec.yaml")
    assert answer.code == 2
    assert "is not a config of one of Axolotl" in answer.err
    assert ftspec_("diagnose", "x", "--config", "a", "--spec", "b").code == 2


def test_several_logs_are_compared(here: Path, ftspec_: Ftspec) -> None:
    Path("a.jsonl").write_text(events(falling(0.3)))
    Path("b.jsonl").write_text(events(falling(seed=2)))
    answer = ftspec_("diagnose", "a.jsonl", "b.jsonl")
    assert "comparison of 2 runs" in answer.out
    assert "B is better than A by training loss" in answer.out
    document = ftspec_("diagnose", "a.jsonl", "b.jsonl", "--json").json
    assert document["comparison"]["best"] == "b.jsonl"
    only = ftspec_("diagnose", "a.jsonl", "b.jsonl", "--compare")
    assert only.out.startswith("comparison of 2 runs")
    assert "ftspec events" not in only.out
    assert ftspec_("diagnose", "a.jsonl", "--compare").code == 2
    assert "comparison" not in ftspec_("diagnose", "a.jsonl", "--json").json


def runs(*texts: str) -> Iterator[Run]:
    for text in texts:
        yield read(Log.of_bytes("log.jsonl", text.encode()))
    raise KeyboardInterrupt


def test_watch_tells_each_finding_once(
    here: Path, ftspec_: Ftspec, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing = [events(falling()[:30], end=False), events(FLAT, end=False), events(FLAT, end=False)]
    monkeypatch.setattr(ftspec.cli.watch, "follow", lambda path: runs(*growing))
    answer = ftspec_("diagnose", "log.jsonl", "--watch")
    assert answer.code == 130
    assert answer.out.count("] flat: ") == 1
    assert "info[" not in answer.out  # what is true of the end only: the run is under way
    assert answer.err == "following log.jsonl; Ctrl-C ends it\n"
    monkeypatch.setattr(ftspec.cli.watch, "follow", lambda path: runs(*growing))
    lines = ftspec_("diagnose", "log.jsonl", "--watch", "--json").out.splitlines()
    assert "flat" in [json.loads(line)["finding"]["name"] for line in lines]


def test_watch_ends_with_the_run(here: Path, ftspec_: Ftspec) -> None:
    Path("log.jsonl").write_text(events(FLAT))
    assert ftspec_("diagnose", "log.jsonl", "--watch").code == 1
    assert ftspec_("diagnose", "log.jsonl", "--watch", "--fail-on", "never").code == 0


def test_watch_draws_on_a_terminal(
    here: Path, ftspec_: Ftspec, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("log.jsonl").write_text(events(FLAT))
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.setenv("LINES", "20")
    item = ftspec.cli.watch.diagnose_run(read(Log.of_path(Path("log.jsonl"))))
    lines = ftspec.cli.watch.screen(item).removeprefix("\x1b[H\x1b[2J").splitlines()
    assert len(lines) == 19
    assert lines[-1].endswith("more lines: ftspec diagnose")
    assert all(len(line) <= 70 for line in lines)


@pytest.mark.parametrize(
    "options", [("--apply",), ("--compare",), ("--html", "x.html"), ("second.jsonl",)]
)
def test_watch_stands_alone(options: tuple[str, ...], ftspec_: Ftspec) -> None:
    assert ftspec_("diagnose", "log.jsonl", "--watch", *options).code == 2
    assert ftspec_("diagnose", "-", "--watch").code == 2


def test_plain_ascii_where_the_terminal_has_no_more(flat_log: Path) -> None:
    answer = shell("diagnose", flat_log, PYTHONIOENCODING="ascii", COLUMNS="60")
    assert answer.returncode == 1
    assert answer.stdout.isascii()
    assert "\\u" not in answer.stdout
