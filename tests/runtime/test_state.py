"""The folders of runs, and the ledger."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftspec.runtime.state import RunFolder, newest_run, open_run, read_ledger, write_ledger


def test_the_newest_run_has_the_highest_number(tmp_path: Path) -> None:
    assert newest_run(tmp_path) is None
    for name in ("2", "10", "9", "notes", "²"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    (tmp_path / "runs/11").write_text("a file")
    newest = newest_run(tmp_path)
    assert newest is not None
    assert (newest.number, newest.path) == (10, tmp_path / "runs/10")


def test_an_unfinished_run_is_gone_on_with(tmp_path: Path) -> None:
    first = open_run(tmp_path, new=False)
    assert (first.number, first.path.is_dir(), first.finished) == (1, True, False)
    assert open_run(tmp_path, new=False) == first
    assert open_run(tmp_path, new=True).number == 2
    (tmp_path / "runs/2/final").mkdir()
    assert open_run(tmp_path, new=False).finished


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return open_run(tmp_path, new=False)


def test_the_ledger_is_written_in_one_step(run: RunFolder) -> None:
    ledger = {**read_ledger(run), "state": "finished"}
    write_ledger(run, ledger)
    assert read_ledger(run) == ledger
    assert [path.name for path in run.path.iterdir()] == ["run.json"]
    with pytest.raises(TypeError):
        write_ledger(run, {"attempts": [object()]})
    assert read_ledger(run) == ledger


@pytest.mark.parametrize("text", [None, "", "{", "[]", "null", '{"attempts": 3}', "\ufffd"])
def test_a_broken_ledger_is_begun_anew(text: str | None, run: RunFolder) -> None:
    if text is not None:
        (run.path / "run.json").write_text(text)
    assert read_ledger(run) == {
        "schema_version": 1,
        "state": "running",
        "attempts": [],
        "plan_hash": None,
        "data_hash": None,
        "final": None,
    }
