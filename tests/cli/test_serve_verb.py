"""`ftspec serve` chooses a server, prints how it is started, and becomes it."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest
from commands import Ftspec
from served import adapter, local, project

from ftspec.runtime.serving import transformers_serve


class Became:
    """The program that the process became, in place of itself."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.folder = Path()
        self.environment: dict[str, str] = {}

    def __call__(self, program: str, words: list[str], environment: dict[str, str]) -> None:
        assert program == words[0]
        self.words, self.environment, self.folder = words, environment, Path.cwd()


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> Became:
    found = Became()
    monkeypatch.setattr(os, "execvpe", found)
    return found


@pytest.fixture(autouse=True)
def bot(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a trained adapter, on a machine where no server is installed."""
    monkeypatch.setenv("PATH", str(here / "programs"))
    (here / "programs").mkdir()
    monkeypatch.setattr(transformers_serve, "installed", lambda python: False)
    return local(project(here / "bot"))


def install(here: Path) -> str:
    path = here / "programs" / "vllm"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_without_a_server_it_says_what_to_install(ftspec_: Ftspec, became: Became) -> None:
    answer = ftspec_("serve", "bot")
    assert (answer.code, answer.out, became.words) == (1, "", [])
    assert "vLLM is not installed, and `transformers serve` lacks" in answer.err
    assert "pip install 'transformers[serving]'; or pip install vllm" in answer.err
    assert "pip install vllm" in ftspec_("serve", "bot", "--server", "vllm").err
    other = ftspec_("serve", "bot", "--server", "transformers")
    assert other.code == 1 and "vllm" not in other.err


def test_it_becomes_vllm_where_that_is_installed(
    here: Path, ftspec_: Ftspec, became: Became
) -> None:
    program = install(here)
    other = adapter(here / "other/final")
    words = [
        "--adapter",
        f"coding={other}",
        "--run",
        1,
        "--port",
        9000,
        "--",
        "--max-model-len",
        99,
    ]
    answer = ftspec_("serve", "bot", *words)
    assert answer.code == 0, answer.err
    head, line = answer.out.splitlines()
    assert head == "vLLM: http://127.0.0.1:9000/v1, models base, tuned, coding"
    assert shlex.split(line) == became.words
    assert answer.err.startswith("note: it was trained with a system prompt")
    assert became.words[:3] == [program, "serve", str(here / "model-7b")]
    assert became.words[-2:] == ["--max-model-len", "99"]
    assert f"coding={other}" in became.words and became.folder == here


def test_it_becomes_transformers_serve_in_a_folder_of_names(
    here: Path, ftspec_: Ftspec, became: Became, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformers_serve, "installed", lambda python: True)
    answer = ftspec_("serve", "bot")
    assert answer.code == 0, answer.err
    assert became.words[1:4] == ["-m", "transformers.cli.transformers", "serve"]
    assert became.folder == here / "bot/serving" and (became.folder / "tuned").is_dir()
    assert became.environment["HF_HUB_OFFLINE"] == "1", "a request downloads nothing"
    line = answer.out.splitlines()[-1]
    assert line.startswith(f"cd {here / 'bot/serving'} && HF_HUB_OFFLINE=1 ")


def test_what_vllm_refuses_goes_to_transformers_serve(
    here: Path, ftspec_: Ftspec, became: Became, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(here)
    dora = f"x={adapter(here / 'dora', use_dora=True)}"
    for words in ([], ["--server", "vllm"]):
        refused = ftspec_("serve", "bot", "--adapter", dora, *words)
        assert refused.code == 1 and "vLLM does not serve `x`: it is a DoRA adapter" in refused.err
    monkeypatch.setattr(transformers_serve, "installed", lambda python: True)
    answer = ftspec_("serve", "bot", "--adapter", dora)
    assert answer.code == 0 and "transformers serve: " in answer.out
    assert "note: vLLM does not serve `x`" in answer.err


def test_a_dry_run_starts_nothing(here: Path, ftspec_: Ftspec, became: Became) -> None:
    install(here)
    answer = ftspec_("serve", "bot", "--dry-run")
    assert answer.code == 0 and "--enable-lora" in answer.out and became.words == []


def test_what_is_not_there_is_told(here: Path, ftspec_: Ftspec) -> None:
    assert ftspec_("serve", "nope").code == 2
    missing = ftspec_("serve", "bot", "--run", 2)
    assert missing.code == 1 and "run 2 has not finished" in missing.err
    project(here / "fresh", runs=0)
    assert "no run has finished" in ftspec_("serve", "fresh").err
    unnamed = ftspec_("serve", "bot", "--adapter", "bot")
    assert unnamed.code == 2 and "--adapter mine=DIR" in unnamed.err
    prefix = adapter(here / "prefix", peft_type="PREFIX_TUNING")
    refused = ftspec_("serve", "bot", "--adapter", f"x={prefix}")
    assert refused.code == 1 and "ftspec chat talks to it" in refused.err
