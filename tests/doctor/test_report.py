"""The report as text of any width, and as GitHub's workflow commands."""

from __future__ import annotations

import math
import re

import pytest

from ftspec.doctor.chart import draw
from ftspec.doctor.curves.series import Problem, Record, Run
from ftspec.doctor.diagnose import Diagnosed, Diagnosis
from ftspec.doctor.github import as_github
from ftspec.doctor.patches.config import ConfigText
from ftspec.doctor.report import as_json, as_text, facts
from ftspec.spec.finding import Edit, Finding, Prescription, Severity

EVALS = [2.10, 1.95, 1.93, 2.05, 2.31, 2.48]
SPEC = "model: tiny\nmethod: lora\ndata: rows.jsonl\ntrain:\n  learning_rate: 2e-4  # mine\n"


@pytest.fixture
def sick(make_events, diagnosed) -> Diagnosed:
    losses = [2.6 * 0.93**place for place in range(36)]
    return diagnosed(make_events(losses, EVALS, epochs=6.0), SPEC)


@pytest.mark.parametrize("width", [60, 72, 80, 100, 120])
@pytest.mark.parametrize("unicode", [True, False])
def test_no_line_is_wider_than_the_terminal(sick: Diagnosed, width: int, unicode: bool) -> None:
    text = as_text(Diagnosis((sick,)), width=width, unicode=unicode)
    wide = [line for line in text.splitlines() if len(line) > width]
    assert wide == []
    assert text.isascii() or unicode


def test_flagged_spans_stand_under_the_curve(sick: Diagnosed) -> None:
    lines = draw(sick.run, sick.findings, 80)
    marked = next(line for line in lines if line.strip().startswith("overfits"))
    steps = [f for f in sick.findings if f.name == "overfits"][0].evidence["steps"]
    first, last = marked.index("^"), marked.rindex("^")
    axis = next(line for line in lines if "+---" in line)
    start, size = axis.index("-"), axis.count("-")
    assert first - start == pytest.approx(steps[0] / 360 * size, abs=3)
    assert last - start == size - 1  # to the end
    assert any("held-out |" in line for line in lines)


def test_marks_have_the_colour_of_their_severity(sick: Diagnosed) -> None:
    painted = draw(sick.run, sick.findings, 80, paint=lambda text, style: f"<{style}>{text}")
    assert any("overfits  <bold yellow>" in line for line in painted)


def test_a_spike_and_a_lost_record_are_drawn() -> None:
    losses = [1.0] * 500
    losses[250], losses[400] = 9.0, math.nan
    run = Run("log", "made", tuple(Record(step=float(n), loss=v) for n, v in enumerate(losses)))
    lines = draw(run, (), 70)
    assert lines[0].count("█") == 1
    assert sum(line.count("!") for line in lines) == 1


def test_losses_beyond_all_measure_are_drawn() -> None:
    losses = [1.7e308, -1.7e308, 1.0, 2.0, 1e-320, math.inf, 3.0]
    run = Run("log", "made", tuple(Record(step=float(n), loss=v) for n, v in enumerate(losses)))
    assert draw(run, (), 70)


def test_long_names_of_findings_do_not_shift_the_marks() -> None:
    run = Run("log", "made", tuple(Record(step=float(n), loss=3.0 - n / 50) for n in range(100)))
    name = "resume-discontinuity"
    finding = Finding("FT1", name, "t", Severity.WARNING, evidence={"steps": [0.0, 99.0]})
    for width in (60, 120):
        lines = draw(run, (finding,), width)
        axis = next(line for line in lines if "+---" in line)
        marks = next(line for line in lines if "^^^" in line)
        assert marks.index("^") == axis.index("-")


def test_the_file_is_named_above_its_first_change(sick: Diagnosed) -> None:
    first = Prescription((), "look first")
    edits = (Edit("train.learning_rate", 2e-4, 2e-5), Edit("train.epochs", None, 2))
    remedies = (first, *(Prescription((edit,), "then") for edit in edits))
    finding = Finding("FT499", "made", "made", Severity.WARNING, prescriptions=remedies)
    shown = as_text(Diagnosis((Diagnosed(sick.run, (finding,), sick.spec),)))
    assert shown.count("+++ ftspec.yaml") == 1
    assert shown.index("+++ ftspec.yaml") < shown.index("+  learning_rate:")


def test_what_was_read_and_is_not_used_is_a_note() -> None:
    problems = (Problem("a table of 2 runs", is_note=True), Problem("broken", 3))
    lines = facts(Run("x", "made", problems=problems))
    assert lines == ["  note: a table of 2 runs", "  not read: line 3: broken"]


def test_missing_evaluations_are_explained_once(make_decay, make_events, diagnosed) -> None:
    shown = as_text(Diagnosis((diagnosed(make_events(make_decay(40, 2.4, 1.2, 1, 0.02))),)))
    assert shown.count("whether it overfits cannot be told") == 1


def test_json_names_what_is_patched(sick: Diagnosed) -> None:
    (run,) = as_json(Diagnosis((sick,)))["runs"]
    assert run["target"] == {"file": "ftspec.yaml", "trainer": "ftspec"}
    assert "comparison" not in as_json(Diagnosis((sick,)))


def test_a_config_is_patched_in_its_own_keys(make_events, diagnosed) -> None:
    text = "base_model: x\ndatasets: []\nadapter: lora\nlearning_rate: 2e-4 # mine\nnum_epochs: 6\n"
    config = ConfigText.read("axolotl.yml", text)
    losses = [2.6 * 0.93**place for place in range(36)]
    found = diagnosed(make_events(losses, EVALS, epochs=6.0))
    shown = as_text(Diagnosis((Diagnosed(found.run, found.findings, config),)))
    assert "--- axolotl.yml\n+++ axolotl.yml\n" in shown
    assert "-num_epochs: 6\n+num_epochs: 3" in shown
    assert "next: change axolotl.yml as shown first" in shown


def test_a_finding_is_one_workflow_command(sick: Diagnosed) -> None:
    lines = as_github(Diagnosis((sick,))).splitlines()
    assert len(lines) == len(sick.findings)
    shape = r"::(error|warning|notice) file=([^,]+),line=(\d+),title=FT\d+ [a-z-]+::.+"
    assert all(re.fullmatch(shape, line) for line in lines)
    assert any(line.startswith("::warning ") for line in lines)


def test_a_command_points_at_the_line_to_change() -> None:
    remedy = Prescription((Edit("train.learning_rate", 2e-4, 4e-5),), "divide")
    finding = Finding("FT1", "spikes", "t", Severity.ERROR, prescriptions=(remedy,))
    from ftspec.doctor.diagnose import SpecText

    item = Diagnosed(Run("log.jsonl", "made"), (finding,), SpecText.of("a.yaml", SPEC))
    assert as_github(Diagnosis((item,))).startswith("::error file=a.yaml,line=5,title=FT1 spikes::")
    bare = Diagnosed(Run("log.jsonl", "made"), (finding,))
    assert "file=log.jsonl,line=1," in as_github(Diagnosis((bare,)))


def test_nothing_of_a_log_ends_a_command() -> None:
    title = "100 %\n::error::injected\r\x1b[31m"
    finding = Finding("FT1", "name", title, Severity.WARNING, found="a: b, c")
    item = Diagnosed(Run("a,b:c\n::set-output name=x::y", "made"), (finding,))
    (line,) = as_github(Diagnosis((item,))).splitlines()
    head = "::warning file=a%2Cb%3Ac%0A%3A%3Aset-output name=x%3A%3Ay,line=1,title=FT1 name::"
    assert line.startswith(head + "100 %25")
    assert "\x1b" not in line
    assert line.endswith("%0Aa: b, c")
