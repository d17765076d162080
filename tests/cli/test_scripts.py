"""`ftspec evaluate`, `merge` and `chat` pass on what they are told, and how it ended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import Ftspec

import ftspec.cli.python

RESULT = {"schema_version": 1, "rows": 2, "metrics": {}}
ECHO = "import json, pathlib, sys\npathlib.Path('told.json').write_text(json.dumps(sys.argv[1:]))\n"
FAILS = "import sys\nsys.exit(78)\n"


@pytest.fixture(autouse=True)
def project(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose scripts write down what they were told."""
    monkeypatch.setattr(ftspec.cli.python, "missing_libraries", lambda python: ())
    (here / "bot").mkdir()
    for name in ("evaluate.py", "merge.py", "chat.py"):
        (here / "bot" / name).write_text(ECHO)
    return here / "bot"


def told() -> list[str]:
    found: list[str] = json.loads(Path("bot/told.json").read_text())
    return found


def test_arguments_are_passed_on(ftspec_: Ftspec) -> None:
    assert ftspec_("evaluate", "bot", "--run", "2").code == 0
    assert told() == ["--run", "2"]
    assert ftspec_("merge", "bot").code == 0
    assert told() == []
    assert ftspec_("chat", "bot", "--prompt", "a 'b' $c", "--base", "--max-new-tokens", 5).code == 0
    asked = ["--prompt", "a 'b' $c", "--base", "--max-new-tokens", "5", "--temperature", "0.0"]
    assert told() == asked


@pytest.mark.parametrize("verb", ["evaluate", "merge", "chat"])
def test_a_script_that_fails(verb: str, project: Path, ftspec_: Ftspec) -> None:
    (project / f"{verb}.py").write_text(FAILS)
    assert ftspec_(verb, "bot").code == 1


@pytest.mark.parametrize("verb", ["evaluate", "merge", "chat"])
def test_a_script_that_is_missing(verb: str, project: Path, ftspec_: Ftspec) -> None:
    (project / f"{verb}.py").unlink()
    answer = ftspec_(verb, "bot")
    assert answer.code == 2
    assert f"error: `bot` has no {verb}.py" in answer.err
    assert ftspec_(verb, "nope").code == 2


def test_missing_libraries_are_named(ftspec_: Ftspec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ftspec.cli.python, "missing_libraries", lambda python: ("peft",))
    for arguments in (("merge", "bot"), ("evaluate", "bot", "--json")):
        answer = ftspec_(*arguments)
        assert (answer.code, answer.out) == (1, "")
        assert "the scripts need peft" in answer.err


def test_an_evaluation_as_json(project: Path, ftspec_: Ftspec) -> None:
    (project / "runs/1").mkdir(parents=True)
    (project / "evaluate.py").write_text(
        "import pathlib\nprint('for people')\n"
        f"pathlib.Path('runs/1/evaluation.json').write_text({json.dumps(RESULT)!r})\n"
    )
    answer = ftspec_("evaluate", "bot", "--json")
    assert answer.code == 0
    assert answer.json == RESULT
    (project / "evaluate.py").write_text(FAILS)
    failed = ftspec_("evaluate", "bot", "--json")
    assert (failed.code, failed.out) == (1, "")


def test_an_evaluation_that_left_nothing(ftspec_: Ftspec) -> None:
    answer = ftspec_("evaluate", "bot", "--json")
    assert (answer.code, answer.out) == (1, "")
    assert "has written no runs/<n>/evaluation.json" in answer.err
