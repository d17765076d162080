"""`ftspec diagnose`: reports, JSON and exit codes; what is found is tested with the doctor."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from commands import Ftspec
from fakes import make_project

RUN_KEYS = {"source", "format", "records", "eval_records", "healthy", "findings"}
SPEC = "model: tiny\nmethod: lora\ndata: rows.jsonl\ntrain:\n  learning_rate: 2e-4   # mine\n"


def falling(count: int = 40) -> list[float]:
    return [1 + 2 * 0.9**place for place in range(count)]


def events(losses: list[float], rate: float = 2e-4) -> str:
    rows = [{"event": "start", "total_steps": len(losses), "epochs": 1, "learning_rate": rate}]
    rows += [
        {"event": "step", "step": step, "epoch": step / len(losses), "loss": loss}
        | {"grad_norm": 1.0, "learning_rate": rate}
        for step, loss in enumerate(losses, 1)
    ]
    rows.append({"event": "end", "step": len(losses)})
    return "".join(json.dumps(row) + "\n" for row in rows)


def state(losses: list[float]) -> str:
    history = [
        {"step": step, "epoch": step / len(losses), "loss": loss, "learning_rate": 2e-4}
        for step, loss in enumerate(losses, 1)
    ]
    return json.dumps({"global_step": len(losses), "log_history": history})


FLAT = [2.5 + 0.01 * (place % 3) for place in range(60)]


@pytest.fixture
def project(here: Path) -> Path:
    """A project whose run has a flat loss."""
    make_project(here / "bot")
    (here / "bot/ftspec.yaml").write_text(SPEC)
    (here / "bot/runs/1").mkdir(parents=True)
    (here / "bot/runs/1/events.jsonl").write_text(events(FLAT))
    return here / "bot"


def test_a_healthy_run(here: Path, ftspec_: Ftspec) -> None:
    Path("trainer_state.json").write_text(state(falling()))
    answer = ftspec_("diagnose", "trainer_state.json")
    assert (answer.code, answer.err) == (0, "")
    assert "nothing wrong" in answer.out
    assert not answer.out.endswith("\n\n")


def test_a_warning_fails_unless_only_errors_should(here: Path, ftspec_: Ftspec) -> None:
    Path("trainer_state.json").write_text(state(FLAT))
    answer = ftspec_("diagnose", "trainer_state.json")
    assert answer.code == 1
    assert "warning[FT" in answer.out
    assert ftspec_("diagnose", "trainer_state.json", "--fail-on", "error").code == 0
    assert ftspec_("diagnose", "trainer_state.json", "--fail-on", "never").code == 0
    Path("trainer_state.json").write_text(state([*falling(), float("nan")]))
    assert ftspec_("diagnose", "trainer_state.json", "--fail-on", "error").code == 1


def test_the_patch_is_a_diff_of_the_project_s_spec(project: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("diagnose", "bot")
    assert answer.code == 1
    assert "bot/runs/1/events.jsonl  ftspec events" in answer.out
    assert "-  learning_rate: 2e-4   # mine\n+  learning_rate: 0.002   # mine\n" in answer.out
    assert answer.last == "next: change bot/ftspec.yaml as shown first, then run it anew"


def test_a_spec_that_lies_elsewhere(here: Path, ftspec_: Ftspec) -> None:
    Path("log.jsonl").write_text(events(FLAT))
    Path("mine.yaml").write_text(SPEC)
    assert "# mine" not in ftspec_("diagnose", "log.jsonl").out
    answer = ftspec_("diagnose", "log.jsonl", "--spec", "mine.yaml")
    assert "+++ mine.yaml" in answer.out and "+  learning_rate: 0.002   # mine" in answer.out
    missing = ftspec_("diagnose", "log.jsonl", "--spec", "nope.yaml")
    assert missing.code == 2
    assert "`nope.yaml` cannot be read" in missing.err


def test_standard_input(here: Path, ftspec_: Ftspec, monkeypatch: pytest.MonkeyPatch) -> None:
    class Input:
        buffer = io.BytesIO(events(FLAT).encode())

    monkeypatch.setattr(sys, "stdin", Input)
    answer = ftspec_("diagnose", "-", "--json")
    assert answer.json["runs"][0]["source"] == "standard input"
    assert answer.code == 1


def test_json_has_the_shape_that_programs_rely_on(project: Path, ftspec_: Ftspec) -> None:
    Path("state.json").write_text(state(falling()))
    answer = ftspec_("diagnose", "bot", "state.json", "--json")
    assert answer.code == 1
    document = answer.json
    assert document["schema_version"] == 1
    sick, well = document["runs"]
    assert set(sick) >= RUN_KEYS
    assert (sick["healthy"], well["healthy"]) == (False, True)
    assert (sick["records"], sick["eval_records"], well["records"]) == (60, 0, 40)
    first = sick["findings"][0]
    assert (first["name"], first["severity"]) == ("flat", "warning")
    prescription = first["prescriptions"][0]
    assert set(prescription) == {"patch", "reason", "expect", "refuted_by"}
    assert prescription["patch"] == [{"path": "train.learning_rate", "from": 2e-4, "to": 2e-3}]


def test_json_stays_json_where_a_loss_is_none(here: Path, ftspec_: Ftspec) -> None:
    Path("log.jsonl").write_text(events([*falling(), float("nan"), float("inf")]))
    answer = ftspec_("diagnose", "log.jsonl", "--json")
    assert "NaN" not in answer.out and "Infinity" not in answer.out
    assert answer.json["runs"][0]["findings"][0]["name"] == "nan"


@pytest.mark.parametrize("content", [b"\x00\xff\xfe\x01", b"dear diary\n", b""])
def test_a_file_without_losses(content: bytes, here: Path, ftspec_: Ftspec) -> None:
    Path("odd.txt").write_bytes(content)
    answer = ftspec_("diagnose", "odd.txt")
    assert answer.code == 1
    assert "no-loss" in [
        f["name"] for f in ftspec_("diagnose", "odd.txt", "--json").json["runs"][0]["findings"]
    ]


def test_a_file_that_is_not_there(here: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("diagnose", "nope.jsonl")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: `nope.jsonl` does not exist\n  = help: ")


def test_a_folder_without_logs(here: Path, ftspec_: Ftspec) -> None:
    Path("bare").mkdir()
    answer = ftspec_("diagnose", "bare")
    assert answer.code == 2
    assert "`bare` holds no log" in answer.err
    assert ftspec_("diagnose").code == 2
