"""`ftspec chat` passes on what it is told, and runs where the user stands."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from commands import Ftspec

import ftspec.cli.python

ECHO = "import json, pathlib, sys\npathlib.Path('told.json').write_text(json.dumps(sys.argv[1:]))\n"
DEFAULTS = ["--max-new-tokens", "256", "--temperature", "0.0"]


@pytest.fixture(autouse=True)
def project(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(ftspec.cli.python, "missing_libraries", lambda python: ())
    (here / "bot").mkdir()
    (here / "bot" / "chat.py").write_text(ECHO)
    return here / "bot"


def told() -> list[str]:
    found: list[str] = json.loads(Path("told.json").read_text())
    return found


def test_arguments_are_passed_on(ftspec_: Ftspec) -> None:
    assert ftspec_("chat", "bot", "--prompt", "a 'b' $c", "--base", "--max-new-tokens", 5).code == 0
    asked = ["--prompt", "a 'b' $c", "--base", "--max-new-tokens", "5", "--temperature", "0.0"]
    assert told() == asked


def test_adapters_are_named_folders_where_the_user_stands(here: Path, ftspec_: Ftspec) -> None:
    (here / "a b").mkdir()
    pairs = ["--adapter", "support=a b", "--adapter", "coding=bot"]
    assert ftspec_("chat", "bot", "--run", 2, *pairs).code == 0
    assert told() == ["--run", "2", *pairs, *DEFAULTS]
    missing = ftspec_("chat", "bot", "--adapter", "x=nowhere")
    assert missing.code == 2 and "`nowhere` is no folder" in missing.err
    for pair in ("bot", "=bot", "x="):
        wrong = ftspec_("chat", "bot", "--adapter", pair)
        assert wrong.code == 2 and "--adapter mine=DIR" in wrong.err


def test_a_script_that_fails_or_is_missing(project: Path, ftspec_: Ftspec) -> None:
    (project / "chat.py").write_text("import sys\nsys.exit(78)\n")
    assert ftspec_("chat", "bot").code == 1
    (project / "chat.py").unlink()
    answer = ftspec_("chat", "bot")
    assert answer.code == 2 and "error: `bot` has no chat.py" in answer.err
    assert ftspec_("chat", "nope").code == 2


def test_missing_libraries_are_named(ftspec_: Ftspec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ftspec.cli.python, "missing_libraries", lambda python: ("peft",))
    answer = ftspec_("chat", "bot")
    assert answer.code == 1 and "the scripts need peft" in answer.err


def test_ctrl_c_is_the_script_s(project: Path, ftspec_: Ftspec) -> None:
    """Both get it from the terminal; the script ends as it likes, and the verb with it."""
    (project / "chat.py").write_text(
        "import os, signal, time\n"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
        "os.kill(os.getppid(), signal.SIGINT)\n"
        "time.sleep(0.2)\n"
        "open('said', 'w').write('on it goes')\n"
    )
    before = signal.getsignal(signal.SIGINT)
    assert ftspec_("chat", "bot").code == 0
    assert Path("said").read_text() == "on it goes"
    assert signal.getsignal(signal.SIGINT) is before
