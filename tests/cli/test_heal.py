"""`ftspec run --heal`: what is changed, where the next run begins, and when it is left alone.

The scripts are run by a stand-in for Python that learns as the plan's learning rate lets it.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from commands import Answer, Ftspec

import ftspec.cli.python

TRAINS = """\
import json, math, sys, time
from pathlib import Path

plan = json.loads(Path("plan.json").read_text())
rate = plan["train"]["learning_rate"]
run = max(Path("runs").iterdir(), key=lambda path: int(path.name))
done = [int(path.name.split("-")[1]) for path in run.glob("checkpoint-*")]
first, bad = max(done, default=0), rate > {bad_above}


def write(event, **facts):
    with open(run / "events.jsonl", "a") as file:
        file.write(json.dumps({{"event": event, "time": time.time(), **facts}}) + "\\n")


def loss_at(step):
    falls = 1.5 + 1.5 * math.exp(-step / 8) + 0.01 * (step % 3)
    return falls + (0.2 * max(0, step - 12) if bad else 0)


write("start", schema_version=1, step=first, total_steps=40, train_rows=60, plan_hash="x",
      learning_rate=rate, resumed_from=f"checkpoint-{{first}}" if first else None)
for step in range(first + 1, 41):
    loss = float("nan") if bad and step == {nan_at} else loss_at(step)
    write("step", step=step, loss=loss, grad_norm=1.0, learning_rate=rate, tokens=step * 100)
    if loss != loss:
        write("stop", step=step, code=77)
        sys.exit(77)
    if step % 5 == 0:
        write("eval", step=step, loss=loss + 0.1)
        folder = run / f"checkpoint-{{step}}"
        folder.mkdir()
        (folder / "weights").write_text(f"{{run.name}} {{step}}")
        (folder / "manifest.json").write_text("{{}}")
        write("checkpoint", step=step, path=folder.name)
(run / "final").mkdir()
write("end", step=40, final="final")
"""
SPEC = """\
model: tiny
method: lora   # small
data: rows.jsonl
train:
  max_steps: 40
  learning_rate: 6e-3  # thirty times the usual
"""


@pytest.fixture(autouse=True)
def libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ftspec.cli.python, "missing_libraries", lambda python: ())


@pytest.fixture
def spec(small: Path) -> Path:
    small.write_text(SPEC, encoding="utf-8")
    return small


def learns(bad_above: float = 1e-3, nan_at: int = 0) -> None:
    """Write the stand-in; above `bad_above` the loss runs away from step 12 on."""
    Path("trains.py").write_text(TRAINS.format(bad_above=bad_above, nan_at=nan_at))
    Path("python").write_text(f"#!/bin/sh\nexec {sys.executable} {Path('trains.py').resolve()}\n")
    Path("python").chmod(0o755)


def ledger(run: int) -> Any:
    return json.loads(Path(f"small-project/runs/{run}/run.json").read_text())


def run(ftspec_: Ftspec, *options: str, target: str = "small.yaml") -> Answer:
    return ftspec_("run", target, "--python", "./python", *options)


def test_a_run_that_runs_away_goes_on_from_before_it_did(spec: Path, ftspec_: Ftspec) -> None:
    learns()
    answer = run(ftspec_, "--heal")
    assert answer.code == 0, answer.err
    assert spec.read_text() == SPEC.replace("6e-3  #", "6e-4  #")
    kept = spec.with_name("small.yaml.run-1.bak")
    assert kept.read_text() == SPEC
    (healed,) = ledger(2)["healing"]
    assert (healed["run"], healed["resumed_from"]) == (1, "runs/1/checkpoint-10")
    assert [finding["name"] for finding in healed["findings"]] == ["diverges"]
    assert healed["changes"] == [{"path": "train.learning_rate", "from": 6e-3, "to": 6e-4}]
    assert ledger(2)["attempts"][0]["resumed_from"] == "checkpoint-10"
    assert Path("small-project/runs/2/checkpoint-10/weights").read_text() == "1 10"
    assert Path("small-project/runs/1/checkpoint-10/weights").exists()
    lines = answer.out.splitlines()
    at = lines.index("  healed      run 1 (finished): diverges")
    assert lines[at + 1].strip() == "train.learning_rate 0.006 -> 0.0006"
    assert lines[at + 2].strip().startswith("then on from runs/1/checkpoint-10; held-out loss")
    assert "nothing to heal" in answer.err
    assert not Path("small-project/runs/3").exists()
    page = Path("small-project/runs/2/report.html").read_text()
    assert "runs/1/events.jsonl" in page and 'id="comparison"' in page
    assert "-  learning_rate: 6e-3" in page  # what run 1 was prescribed, against its own spec
    assert "<dt>healed</dt><dd>run 1 (finished): diverges<br>" in page


def test_a_loss_that_is_not_finite(spec: Path, ftspec_: Ftspec) -> None:
    learns(nan_at=14)
    answer = run(ftspec_, "--heal", "1")
    assert answer.code == 0, answer.err
    assert "run 1 failed: the loss is not finite" in answer.out
    assert ledger(1)["attempts"][0]["kind"] == "not-finite"
    (healed,) = ledger(2)["healing"]
    assert healed["findings"][0]["name"] == "nan"
    assert healed["resumed_from"] == "runs/1/checkpoint-10"
    assert healed["best_held_out_loss"] == pytest.approx(2.04, abs=0.01)


def test_a_run_that_runs_away_again_begins_anew(spec: Path, ftspec_: Ftspec) -> None:
    learns(bad_above=1e-4)
    answer = run(ftspec_, "--heal")
    assert answer.code == 0, answer.err
    first, second = ledger(3)["healing"]
    assert first["resumed_from"] == "runs/1/checkpoint-10"
    assert second["resumed_from"] is None
    assert "6e-5  # thirty" in spec.read_text()
    assert ledger(3)["attempts"][0]["resumed_from"] is None


def test_the_budget_counts_all_calls(spec: Path, ftspec_: Ftspec) -> None:
    learns(bad_above=1e-9)
    answer = run(ftspec_, "--heal", "1")
    assert "1 treatments were made" not in answer.err
    assert "not healed: `diverges`; 1 treatment was made, and --heal 2 allows another" in answer.err
    again = run(ftspec_, "--heal", "1")
    assert "--heal 2 allows another" in again.err
    assert not Path("small-project/runs/3").exists()


def test_a_healthy_run_is_left_alone(spec: Path, ftspec_: Ftspec) -> None:
    learns(bad_above=1.0)
    answer = run(ftspec_, "--heal")
    assert answer.code == 0
    assert "nothing to heal" in answer.err
    assert spec.read_text() == SPEC
    assert not list(Path().glob("*.bak"))
    assert not Path("small-project/runs/2").exists()


def test_edits_of_one_s_own_are_left_alone(spec: Path, ftspec_: Ftspec) -> None:
    learns()
    assert run(ftspec_).code == 0
    script = Path("small-project/train.py")
    script.write_text(script.read_text() + "# mine\n")
    answer = run(ftspec_, "--heal", target="small-project")
    assert "`train.py` would be built anew, and has edits of yours" in answer.err
    assert spec.read_text() == SPEC
    assert not Path("small-project/runs/2").exists()


def test_a_project_is_healed_by_the_spec_beside_it(spec: Path, ftspec_: Ftspec) -> None:
    learns()
    assert run(ftspec_).code == 0
    answer = run(ftspec_, "--heal", target="small-project")  # it had finished
    assert answer.code == 0, answer.err
    assert "6e-4" in spec.read_text()
    assert ledger(2)["state"] == "finished"


def test_a_project_whose_spec_has_changed_is_not(spec: Path, ftspec_: Ftspec) -> None:
    learns()
    assert run(ftspec_).code == 0
    spec.write_text(SPEC + "# changed\n")
    answer = run(ftspec_, "--heal", target="small-project")
    assert answer.code == 1
    assert "ftspec run SPEC -o small-project --heal" in answer.err


def test_a_crash_is_no_matter_of_the_spec(spec: Path, ftspec_: Ftspec) -> None:
    learns()
    Path("trains.py").write_text("raise SystemExit(1)")
    answer = run(ftspec_, "--heal")
    assert answer.code == 1
    assert "not healed: no change of the spec helps where the script crashed" in answer.err


def test_in_the_background_as_well(spec: Path, ftspec_: Ftspec) -> None:
    learns()
    answer = run(ftspec_, "--heal", "--detach")
    assert answer.code == 0, answer.err
    until = time.monotonic() + 60
    while not Path("small-project/runs/2/final").exists():
        assert time.monotonic() < until, Path("small-project/supervisor.log").read_text()
        time.sleep(0.1)
    assert "6e-4" in spec.read_text()


def test_what_a_rung_has_changed_is_carried_on(spec: Path, ftspec_: Ftspec) -> None:
    learns()
    assert run(ftspec_).code == 0
    path = Path("small-project/runs/1/run.json")
    told = json.loads(path.read_text())
    told["attempts"][0]["constants"] = {"micro_batch": 1, "accumulation": 16, "learning_rate": 1.0}
    path.write_text(json.dumps(told))
    assert run(ftspec_, "--heal").code == 0
    assert ledger(2)["attempts"][0]["constants"] == {"micro_batch": 1, "accumulation": 16}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "--heal"), "Missing argument"),
        (("run", "--heal", "two", "small.yaml"), "`--heal two` is no number of treatments"),
        (("run", "-", "--heal"), "standard input"),
    ],
)
def test_usage(words: tuple[str, ...], said: str, spec: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_(*words)
    assert answer.code == 2
    assert said in answer.err


def test_the_number_may_be_left_out_before_the_spec(spec: Path, ftspec_: Ftspec) -> None:
    learns(bad_above=1.0)
    assert ftspec_("run", "--python", "./python", "--heal", "small.yaml").code == 0
