"""`ftspec build`: what is written, what is kept, and what stands in the way."""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

import pytest
from commands import SMALL, Ftspec

FILES = {
    ".ftspec.json",
    "README.md",
    "chat.py",
    "evaluate.py",
    "ftspec.yaml",
    "journal.py",
    "merge.py",
    "plan.json",
    "requirements.txt",
    "train.py",
    "base.py",
    "handover.py",
    "metrics.py",
    "review.py",
    "shards.py",
}


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def words(err: str) -> dict[str, str]:
    """Return file -> what became of it."""
    lines = [line.split() for line in err.splitlines() if "small-project/" in line]
    return {Path(line[1]).name: line[0] for line in lines}


@pytest.fixture
def project(small: Path, ftspec_: Ftspec) -> Path:
    """A project that has just been built."""
    assert ftspec_("build", small.name).code == 0
    return small.parent / "small-project"


def test_a_project_is_written_beside_the_spec(small: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("build", small.name)
    assert answer.code == 0
    assert answer.out == "next: ftspec run small-project\n"
    assert set(content(Path("small-project"))) == FILES
    assert set(words(answer.err).values()) == {"create"}
    assert Path("small-project/ftspec.yaml").read_text() == SMALL


def test_the_same_spec_gives_the_same_bytes(project: Path, small: Path, ftspec_: Ftspec) -> None:
    before = content(project)
    answer = ftspec_("build", small.name)
    assert set(words(answer.err).values()) == {"identical"}
    assert content(project) == before
    shutil.rmtree(project)
    ftspec_("build", small.name)
    assert content(project) == before


def test_a_changed_spec_changes_files(project: Path, small: Path, ftspec_: Ftspec) -> None:
    small.write_text(f"{SMALL}train: {{epochs: 2}}\n", encoding="utf-8")
    answer = ftspec_("build", small.name)
    assert answer.code == 0
    assert words(answer.err)["train.py"] == "changed"
    assert words(answer.err)["journal.py"] == "identical"
    assert "EPOCHS = 2" in (project / "train.py").read_text()


def test_edits_of_the_user_are_never_overwritten(
    project: Path, small: Path, ftspec_: Ftspec
) -> None:
    train = project / "train.py"
    train.write_text(train.read_text() + "# mine\n")
    small.write_text(f"{SMALL}train: {{epochs: 2}}\n", encoding="utf-8")
    before = content(project)
    answer = ftspec_("build", small.name)
    assert (answer.code, answer.out) == (1, "")
    assert words(answer.err)["train.py"] == "conflict"
    assert "error: nothing was written" in answer.err
    assert "= help: move the edits away, or give --force" in answer.err
    assert content(project) == before


def test_force_keeps_the_edits_beside(project: Path, small: Path, ftspec_: Ftspec) -> None:
    train = project / "train.py"
    mine = train.read_text() + "# mine\n"
    train.write_text(mine)
    answer = ftspec_("build", small.name, "--force")
    assert answer.code == 0
    assert " replaced  small-project/train.py  (yours is train.py.bak)" in answer.err
    assert (project / "train.py.bak").read_text() == mine
    assert "# mine" not in train.read_text()


def test_runs_are_never_touched(project: Path, small: Path, ftspec_: Ftspec) -> None:
    (project / "runs/1").mkdir(parents=True)
    (project / "runs/1/events.jsonl").write_text("{}\n")
    ftspec_("build", small.name, "--force")
    assert (project / "runs/1/events.jsonl").read_text() == "{}\n"


def test_the_folder_comes_from_the_option_or_the_spec(small: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("build", small.name, "-o", "a folder/here")
    assert answer.out == "next: ftspec run 'a folder/here'\n"
    assert set(content(Path("a folder/here"))) == FILES
    small.write_text(f"{SMALL}output: bot\n", encoding="utf-8")
    assert ftspec_("build", small.name).out == "next: ftspec run bot\n"
    assert set(content(Path("bot"))) == FILES


def test_a_plan_repeats_the_project_elsewhere(project: Path, ftspec_: Ftspec) -> None:
    elsewhere = Path("elsewhere") / project.name
    answer = ftspec_("build", "--from-plan", project / "plan.json", "-o", elsewhere)
    assert answer.code == 0
    assert content(elsewhere) == content(project)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not a plan of this version"),
        ("{}", "is not a plan of this version: ftspec: Field required"),
        ('{"schema_version": 2}', "is not a plan of this version"),
    ],
)
def test_a_plan_that_is_none(text: str, said: str, here: Path, ftspec_: Ftspec) -> None:
    Path("plan.json").write_text(text)
    answer = ftspec_("build", "--from-plan", "plan.json")
    assert answer.code == 2
    assert said in answer.err


def test_a_spec_or_a_plan_and_not_both(project: Path, small: Path, ftspec_: Ftspec) -> None:
    for arguments in ((), (small.name, "--from-plan", "plan.json")):
        answer = ftspec_("build", *arguments)
        assert answer.code == 2
        assert "Give a spec, or --from-plan with a plan.json." in answer.err
    assert ftspec_("build", "--from-plan", "nope.json").code == 2


def test_data_is_asked_for(flat: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("build", flat.name)
    assert (answer.code, answer.out) == (1, "")
    assert "error[FT106]: the spec names no data" in answer.err
    assert "`--data FILE`" in answer.err
    assert not Path("flat-project").exists()


def test_data_of_the_command_line_is_built_in(flat: Path, small: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("build", flat.name, "--data", "rows.jsonl", "--gpu", "rtx-4090")
    assert answer.code == 0
    assert "rows.jsonl" in Path("flat-project/train.py").read_text()
    assert "rows.jsonl" in Path("flat-project/ftspec.yaml").read_text()


def test_what_does_not_fit_is_not_built(big: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("build", big.name, "--gpu", "rtx-4090")
    assert answer.code == 1
    assert "error[FT201]" in answer.err
    assert not Path("big-project").exists()
    anyway = ftspec_("build", big.name, "--gpu", "rtx-4090", "--fail-on", "never")
    assert anyway.code == 0
    assert Path("big-project/train.py").is_file()


def test_a_broken_spec_is_not_built(small: Path, ftspec_: Ftspec) -> None:
    small.write_text(f"{SMALL}modle: x\n", encoding="utf-8")
    for fail_on in ("error", "never"):
        answer = ftspec_("build", small.name, "--fail-on", fail_on)
        assert answer.code == 1
        assert "error[FT101]" in answer.err
    assert not Path("small-project").exists()


def test_a_folder_that_cannot_be_written(small: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("build", small.name, "-o", f"{small.name}/inside")
    assert answer.code == 1
    assert "error: `small.yaml/inside` cannot be written: Not a directory" in answer.err


def test_standard_input_has_no_name_to_call_a_folder(
    small: Path, ftspec_: Ftspec, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Input:
        buffer = io.BytesIO(SMALL.encode())

    monkeypatch.setattr(sys, "stdin", Input)
    answer = ftspec_("build", "-")
    assert answer.code == 2
    assert "needs a project folder: -o DIR" in answer.err
    Input.buffer.seek(0)
    assert ftspec_("build", "-", "-o", "bot").code == 0
