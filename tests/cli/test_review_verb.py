"""`ftspec evaluate --review`: answers are given once, a page or the terminal asks, all counts."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import click
import pytest
from commands import Ftspec

import ftspec.cli.python
from ftspec.runtime.review.answers import read_review
from ftspec.runtime.review.judgements import Judgements

# As review.py does: answers of as many prompts as were asked for, and a note of each call.
SCRIPT = """\
import json, pathlib, sys
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
count, run = int(given.get("--rows", 2)), given.get("--run", "1")
item = lambda n: {
    "id": n, "row": n, "turns": [{"role": "user", "content": f"question {n}"}], "expected": "",
    "base": {"text": f"b {n}", "ended": True}, "tuned": {"text": f"t {n}", "ended": True},
}
facts = {"seed": 1, "rows": count, "max_new_tokens": int(given.get("--max-new-tokens", 256))}
items = [item(n) for n in range(1, count + 1)]
pathlib.Path(f"runs/{run}/review.json").write_text(json.dumps({**facts, "items": items}))
with open("calls", "a") as file:
    print(sys.argv[1:], file=file)
"""


@pytest.fixture(autouse=True)
def project(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(ftspec.cli.python, "missing_libraries", lambda python: ())
    for number in (1, 2):
        (here / f"bot/runs/{number}/final").mkdir(parents=True)
    (here / "bot/runs/3").mkdir()
    (here / "bot" / "review.py").write_text(SCRIPT.replace('"1")', '"2")'))
    (here / "bot" / "evaluate.py").write_text("raise SystemExit('not asked')")
    return here / "bot"


def calls() -> list[str]:
    return Path("bot/calls").read_text().splitlines()


def test_a_page_is_made_of_answers_that_are_given_once(project: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("evaluate", "bot", "--review")
    assert answer.code == 0, answer.err
    assert "2 prompts to judge: bot/runs/2/review.html" in answer.out
    assert answer.out.splitlines()[-1].strip() == "ftspec evaluate --review-summary FILE"
    page = (project / "runs/2/review.html").read_text(encoding="utf-8")
    assert "question 2" in page and "Review: run 2" in page
    again = ftspec_("evaluate", "bot", "--review", "--rows", 2)
    assert again.code == 0 and "answers of before" in again.out
    assert calls() == ["[]"]
    assert ftspec_("evaluate", "bot", "--review", "--rows", 5, "--run", 1).code == 0
    assert calls()[1:] == ["['--run', '1', '--rows', '5']"]
    assert len(read_review(project / "runs/1/review.json").items) == 5
    assert ftspec_("evaluate", "bot", "--review", "--run", 1, "--max-new-tokens", 9).code == 0
    assert calls()[2:] == ["['--run', '1', '--max-new-tokens', '9']"]


def test_the_page_as_json(ftspec_: Ftspec) -> None:
    answer = ftspec_("evaluate", "bot", "--review", "--json")
    assert answer.json == {"schema_version": 1, "page": "bot/runs/2/review.html", "prompts": 2}


def test_a_script_that_fails_or_leaves_something_else(project: Path, ftspec_: Ftspec) -> None:
    (project / "runs/2/review.json").write_text("{}")
    broken = ftspec_("evaluate", "bot", "--review")
    assert broken.code == 2 and "is not what review.py writes" in broken.err
    (project / "review.py").write_text("raise SystemExit(78)")
    (project / "runs/2/review.json").unlink()
    failed = ftspec_("evaluate", "bot", "--review")
    assert failed.code == 1 and "review.py has given no answers" in failed.err
    (project / "review.py").unlink()
    assert ftspec_("evaluate", "bot", "--review").code == 2


def test_options_that_belong_together(ftspec_: Ftspec) -> None:
    alone = ftspec_("evaluate", "bot", "--terminal")
    assert alone.code == 2 and "--terminal goes with --review" in alone.err
    nothing = ftspec_("evaluate")
    assert nothing.code == 2 and "Missing argument 'PROJECT'" in nothing.err
    pipe = ftspec_("evaluate", "bot", "--review", "--terminal")
    assert pipe.code == 2 and "needs a terminal" in pipe.err


def test_the_terminal_asks_goes_on_and_counts(
    project: Path, ftspec_: Ftspec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    keys = iter("aaaaaaaq" + "bbbbbbb")
    monkeypatch.setattr(click, "getchar", lambda: next(keys))
    first = ftspec_("evaluate", "bot", "--review", "--terminal")
    assert first.code == 0, first.err
    assert "1 of 2 prompts judged" in first.out
    assert ftspec_("evaluate", "bot", "--review", "--terminal").code == 0
    file = project / "runs/2/judgements.json"
    kept = json.loads(file.read_text())["judgements"]
    assert set(kept["1"].values()) == {"a"} and set(kept["2"].values()) == {"b"}
    counted = ftspec_("evaluate", "--review-summary", file, "--json")
    assert counted.json["judged"] == 2
    (project / "runs/2/review.json").unlink()
    others = ftspec_("evaluate", "bot", "--review", "--terminal", "--rows", 4)
    assert others.code == 2 and "judges other answers" in others.err


def test_judgements_are_counted_from_their_file_alone(project: Path, ftspec_: Ftspec) -> None:
    assert ftspec_("evaluate", "bot", "--review", "--rows", 12).code == 0
    review = read_review(project / "runs/2/review.json")
    found = Judgements.none_of(review)
    for item in review.items:
        found = found.with_verdict(
            item.id, "send", "a" if review.shown(item)[0] == item.tuned else "b"
        )
    found.save(Path("mine.json"))
    answer = ftspec_("evaluate", "--review-summary", "mine.json")
    assert answer.code == 0
    assert "12 of 12 prompts judged" in answer.out
    assert re.search(
        r"Which would you send\?\s+12\s+0\s+0\s+0\s+100 % \(76 % to 100 %\)", answer.out
    )
    assert answer.out.splitlines()[-1].startswith("The tuned model is preferred: in 12 of the 12")
    Path("other.json").write_text("[]")
    for name, words in (("other.json", "holds no judgements"), ("none.json", "cannot be read")):
        wrong = ftspec_("evaluate", "--review-summary", name)
        assert wrong.code == 2 and words in wrong.err
