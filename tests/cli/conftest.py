"""The command line in this process, in a folder of its own, on a machine without cards."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import BIG, FLAT, SMALL, Answer, Ftspec
from fakes import make_model, write_alpaca

import ftspec.runtime.hardware
from ftspec.cli.boundary import run as run_ftspec
from ftspec.compiler.facts.hardware import Hardware


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, with the output of a pipe, on a machine with 64 GiB and no card."""
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "PYTHONIOENCODING"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    machine = Hardware((), 64 * 2**30, 8, note="no NVIDIA driver")
    monkeypatch.setattr(ftspec.runtime.hardware, "detect", lambda: machine)
    return tmp_path


@pytest.fixture
def ftspec_(capsys: pytest.CaptureFixture[str]) -> Ftspec:
    """Run the command line in this process."""

    def call(*arguments: object) -> Answer:
        capsys.readouterr()
        code = run_ftspec([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Answer(code, out, err)

    return call


@pytest.fixture
def small(here: Path) -> Path:
    """A spec with a model of 64 wide and 60 rows: everything about it can be known."""
    make_model(here / "tiny")
    write_alpaca(here / "rows.jsonl")
    (here / "small.yaml").write_text(SMALL, encoding="utf-8")
    return here / "small.yaml"


@pytest.fixture
def flat(here: Path) -> Path:
    """The guide's quick reference, as it stands."""
    (here / "flat.yaml").write_text(FLAT, encoding="utf-8")
    return here / "flat.yaml"


@pytest.fixture
def big(here: Path) -> Path:
    """Full fine-tuning of seven billion parameters."""
    write_alpaca(here / "rows.jsonl")
    (here / "big.yaml").write_text(BIG, encoding="utf-8")
    return here / "big.yaml"
