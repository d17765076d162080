"""The error boundary, streams, colours, and pipes that close early."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from commands import SCRIPT, SMALL, Ftspec, shell

import ftspec.cli.check
from ftspec.cli.app import VERBS
from ftspec.cli.paint import wants_colour


def breaks(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def compile_spec(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(ftspec.cli.check, "compile_spec", compile_spec)


def test_our_own_fault_leaves_a_log_and_no_traceback(
    small: Path, ftspec_: Ftspec, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks(RuntimeError("the tower leans"), monkeypatch)
    answer = ftspec_("check", small.name)
    assert (answer.code, answer.out) == (3, "")
    assert "error: this is a fault of ftspec, not yours" in answer.err
    assert "Traceback" not in answer.err
    found = re.search(r"the log for a report is (.+)", answer.err)
    assert found is not None
    log = Path(found[1])
    assert log.parent == small.parent / "state/ftspec"
    text = log.read_text()
    assert "Traceback" in text and "RuntimeError: the tower leans" in text
    assert f"arguments: ['check', '{small.name}']" in text


def test_the_log_holds_nothing_that_grants_access(
    small: Path, ftspec_: Ftspec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    address = "https://me:pw@hub/x?token=abcdefgh"
    breaks(RuntimeError(f"401 for {address} with 0123456789abcdef"), monkeypatch)
    assert ftspec_("check", small.name, "--data", address).code == 3
    (log,) = (small.parent / "state/ftspec").iterdir()
    text = log.read_text()
    assert "401 for https://***@hub/x?token=*** with ***" in text
    assert "pw@" not in text and "abcdefgh" not in text and "0123456789" not in text


def test_the_log_goes_elsewhere_where_the_home_cannot_be_written(
    small: Path, ftspec_: Ftspec, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks(RuntimeError("the tower leans"), monkeypatch)
    monkeypatch.setenv("XDG_STATE_HOME", str(small))
    monkeypatch.setattr("tempfile.tempdir", str(small.parent))
    answer = ftspec_("check", small.name)
    assert answer.code == 3
    assert len(list(small.parent.glob("ftspec-crash-*.log"))) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), EOFError()])
def test_ctrl_c_is_130(
    error: BaseException, small: Path, ftspec_: Ftspec, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks(error, monkeypatch)
    answer = ftspec_("check", small.name)
    assert (answer.code, answer.out, answer.err) == (130, "", "interrupted\n")


def test_words_that_are_not_known(ftspec_: Ftspec) -> None:
    verb = ftspec_("chekc")
    assert verb.code == 2
    assert "No such verb: `chekc`. Did you mean `check`?" in verb.err
    option = ftspec_("check", "--gpuu", "x")
    assert option.code == 2
    assert "--gpuu" in option.err and "--gpu" in option.err
    assert option.err.endswith("  = help: ftspec check --help\n")
    choice = ftspec_("check", "x", "--fail-on", "eror")
    assert choice.code == 2
    assert "'error', 'warning', 'info', 'never'" in choice.err
    assert ftspec_("check").code == 2


def test_help(ftspec_: Ftspec) -> None:
    answer = ftspec_("--help")
    assert (answer.code, answer.err) == (0, "")
    assert all(f"  {verb} " in answer.out for verb in VERBS)
    bare = ftspec_()
    assert (bare.code, bare.out) == (2, "")
    assert bare.err.startswith("Usage: ftspec")
    assert ftspec_("--version").out.startswith("ftspec 0.")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, ftspec_: Ftspec) -> None:
    answer = ftspec_(verb, "-h")
    assert answer.code == 0
    assert answer.out.startswith(f"Usage: ftspec {verb}")


def test_the_schema_is_json(ftspec_: Ftspec) -> None:
    assert ftspec_("schema").json["title"] == "ftspec"


# Colours


class Stream:
    """A stream that is a terminal, or none."""

    def __init__(self, terminal: bool) -> None:
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize(
    ("env", "terminal", "wanted"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True, True),
    ],
)
def test_who_wants_colours(
    env: dict[str, str], terminal: bool, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert wants_colour(Stream(terminal)) is wanted  # type: ignore[arg-type]


def test_colours_are_asked_for_by_force_alone_in_a_pipe(
    small: Path, ftspec_: Ftspec, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = ftspec_("check", small.name).out
    assert "\x1b" not in plain
    monkeypatch.setenv("FORCE_COLOR", "1")
    painted = ftspec_("check", small.name).out
    assert "\x1b[1mtiny\x1b[0m" in painted
    assert re.sub(r"\x1b\[[0-9;]*m", "", painted) == plain


# Streams, with the real console script


def test_a_stream_without_unicode(small: Path) -> None:
    small.write_text(SMALL + "# …\ntrain: {epochz: 1}\n", encoding="utf-8")
    rendered = shell("check", small.name, PYTHONIOENCODING="ascii")
    assert rendered.returncode == 1
    small.write_text(SMALL.replace("tiny", "tinÿ"), encoding="utf-8")
    (small.parent / "tiny").rename(small.parent / "tinÿ")
    shown = shell("check", small.name, "--why", PYTHONIOENCODING="ascii")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.isascii() and "tin\\xff" in shown.stdout and "####" in shown.stdout
    as_json = shell("check", small.name, "--json", PYTHONIOENCODING="ascii")
    assert json.loads(as_json.stdout)["plan"]["model"]["name"].endswith("tinÿ")


@pytest.mark.parametrize("arguments", [("schema",), ("check", "small.yaml", "--why")])
def test_a_pipe_that_is_closed_early(arguments: tuple[str, ...], small: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    child = subprocess.run([SCRIPT, *arguments], stdout=writer, stderr=subprocess.PIPE, timeout=60)
    os.close(writer)
    assert (child.returncode, child.stderr) == (0, b"")


def test_the_console_script_ends_with_the_code(small: Path) -> None:
    assert shell("check", small.name, "--gpu", "rtx-4090").returncode == 0
    assert shell("check", "nope.yaml").returncode == 2
