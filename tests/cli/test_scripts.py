"""`ftspec evaluate` and `merge` pass on what they are told, and how it ended."""

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
    for name in ("evaluate.py", "merge.py"):
        (here / "bot" / name).write_text(ECHO)
    return here / "bot"


def told() -> list[str]:
    found: list[str] = json.loads(Path("bot/told.json").read_text())
    return found


def test_arguments_are_passed_on(ftspec_: Ftspec) -> None:
    assert ftspec_("evaluate", "bot", "--run", "2").code == 0
    assert told() == ["--run", "2"]
    asked = [
        "--metrics",
        "bleu,rouge",
        "--checkpoints",
        "--rows",
        9,
        "--by",
        "x y",
        "--tasks",
        "a,b",
    ]
    assert ftspec_("evaluate", "bot", *asked, "--max-new-tokens", 8).code == 0
    words = "--metrics bleu rouge --checkpoints --rows 9 --by".split()
    assert told() == [*words, "x y", "--max-new-tokens", "8", "--tasks", "a", "b"]
    assert ftspec_("merge", "bot").code == 0
    assert told() == []
    assert ftspec_("merge", "bot", "--into", "dequantized", "--compare", "--whole").code == 0
    assert told() == ["--into", "dequantized", "--compare", "--whole"]


def test_folders_are_seen_from_where_they_are_named(here: Path, ftspec_: Ftspec) -> None:
    """Scripts run in the project's folder."""
    assert ftspec_("evaluate", "bot", "--adapter", "other=some/final", "--adapter", "x/y").code == 0
    assert told() == ["--adapter", f"other={here}/some/final", "--adapter", f"y={here}/x/y"]
    (here / "base").mkdir()
    assert ftspec_("merge", "bot", "--base", "base").code == 0
    assert told() == ["--base", str(here / "base")]
    assert ftspec_("merge", "bot", "--base", "org/model").code == 0
    assert told() == ["--base", "org/model"]


def test_a_metric_that_there_is_not(ftspec_: Ftspec) -> None:
    answer = ftspec_("evaluate", "bot", "--metrics", "bleu,blue")
    assert answer.code == 2
    assert "the metrics are perplexity, bleu, chrf, rouge, exact-match" in answer.err


@pytest.mark.parametrize("verb", ["evaluate", "merge"])
def test_a_script_that_fails(verb: str, project: Path, ftspec_: Ftspec) -> None:
    (project / f"{verb}.py").write_text(FAILS)
    assert ftspec_(verb, "bot").code == 1


@pytest.mark.parametrize("verb", ["evaluate", "merge"])
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


def test_an_evaluation_goes_into_the_runs_page(project: Path, ftspec_: Ftspec) -> None:
    score = {"value": 2.0, "change": -0.5, "low": -0.6, "high": -0.4}
    result = {
        "schema_version": 1,
        "rows": 7,
        "supervised_tokens": 1234,
        "metrics": {"perplexity": {}},
        "models": {"base": {"perplexity": {"value": 4}}, "<b>tuned</b>": {"perplexity": score}},
        "categories": {"a": {"rows": 3, "metrics": {"perplexity": {"base": 5, "tuned": 3}}}},
        "signature": {"seed": 42},
    }
    (project / "plan.json").write_text("{}")
    (project / "train.py").touch()
    run = project / "runs" / "1"
    run.mkdir(parents=True)
    (run / "run.json").write_text(
        json.dumps({"schema_version": 1, "state": "finished", "attempts": []})
    )
    (run / "events.jsonl").write_text('{"event": "start", "time": 1}\n')
    (run / "evaluation.json").write_text(json.dumps(result))
    assert ftspec_("evaluate", "bot").code == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Held-out rows, before and after" in page and "-60.0 % to -40.0 %" in page
    assert "&lt;b&gt;tuned" in page and "<b>tuned" not in page
    assert "1,234 supervised tokens" in page and "seed 42" in page
