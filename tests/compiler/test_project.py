"""Writing a project: what becomes of each file, what is never lost, and interruptions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftspec.compiler import project
from ftspec.compiler.project import MANIFEST, Status, compare, edited, read_manifest, write

FILES = {"train.py": b"print(1)\n", "plan.json": b"{}\n", "README.md": b"# x\n"}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_new_project_is_created_then_identical(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "project"
    first = write(folder, FILES)
    assert first.written and set(first.files.values()) == {Status.CREATE}
    assert contents(folder) == FILES | {MANIFEST: (folder / MANIFEST).read_bytes()}
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir() if path.name != MANIFEST}
    again = write(folder, FILES)
    assert again.written and set(again.files.values()) == {Status.IDENTICAL}
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert edited(folder) == ()


def test_what_was_not_edited_is_changed(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    outcome = write(tmp_path, FILES | {"train.py": b"print(2)\n"})
    assert outcome.written
    assert outcome.files["train.py"] is Status.CHANGED
    assert outcome.files["plan.json"] is Status.IDENTICAL
    assert (tmp_path / "train.py").read_bytes() == b"print(2)\n"


def test_an_edited_file_is_a_conflict_and_nothing_is_written(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    (tmp_path / "train.py").write_bytes(b"mine\n")
    assert edited(tmp_path) == ("train.py",)
    before = contents(tmp_path)
    outcome = write(tmp_path, {"train.py": b"theirs\n", "plan.json": b"{2}\n", "new.py": b""})
    assert not outcome.written and outcome.conflicts == ("train.py",)
    assert outcome.files["plan.json"] is Status.CHANGED
    assert contents(tmp_path) == before


def test_force_keeps_what_was_edited_beside(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    (tmp_path / "train.py").write_bytes(b"mine\n")
    outcome = write(tmp_path, FILES | {"train.py": b"theirs\n"}, force=True)
    assert outcome.written and outcome.conflicts == ("train.py",)
    assert (tmp_path / "train.py").read_bytes() == b"theirs\n"
    assert (tmp_path / "train.py.bak").read_bytes() == b"mine\n"
    assert edited(tmp_path) == ()


def test_an_edit_that_is_what_would_be_written_is_identical(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    (tmp_path / "train.py").write_bytes(b"new\n")
    assert compare(tmp_path, FILES | {"train.py": b"new\n"})["train.py"] is Status.IDENTICAL


def test_a_file_of_the_user_s_own_is_a_conflict(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_bytes(b"mine, before ftspec came\n")
    assert write(tmp_path, FILES).conflicts == ("train.py",)


def test_what_is_no_longer_emitted_is_removed_unless_edited(tmp_path: Path) -> None:
    write(tmp_path, FILES | {"convert.py": b"x\n", "chat_template.jinja": b"y\n"})
    (tmp_path / "convert.py").write_bytes(b"mine\n")
    (tmp_path / "notes.txt").write_bytes(b"mine\n")
    (tmp_path / "runs" / "1").mkdir(parents=True)
    outcome = write(tmp_path, FILES)
    assert outcome.written and outcome.files["chat_template.jinja"] is Status.REMOVED
    assert "convert.py" not in outcome.files
    assert not (tmp_path / "chat_template.jinja").exists()
    assert (tmp_path / "convert.py").exists() and (tmp_path / "notes.txt").exists()
    assert (tmp_path / "runs" / "1").is_dir()
    assert set(read_manifest(tmp_path)) == set(FILES)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": 3}', '{"files": {}}', "\x00"])
def test_a_manifest_that_is_broken_makes_conflicts_never_losses(text: str, tmp_path: Path) -> None:
    write(tmp_path, FILES)
    (tmp_path / MANIFEST).write_text(text)
    outcome = write(tmp_path, FILES | {"train.py": b"new\n"})
    assert outcome.conflicts == ("train.py",)
    assert (tmp_path / "train.py").read_bytes() == FILES["train.py"]


class Crash(BaseException):
    """A power cut."""


@pytest.mark.parametrize("step", range(1, 10))
def test_a_crash_leaves_old_files_or_new_ones(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each of the moments in which something is flushed or put in place."""
    old = {f"{name}.py": f"old {name}\n".encode() for name in "abcd"}
    new = {f"{name}.py": f"new {name}\n".encode() for name in "abce"}
    write(tmp_path, old)
    moments = iter(range(1, 100))

    def crash_at(function: object) -> object:
        def wrapped(*arguments: object) -> object:
            if next(moments) == step:
                raise Crash
            return function(*arguments)  # type: ignore[operator]

        return wrapped

    with monkeypatch.context() as patched:
        patched.setattr(project.os, "fsync", crash_at(project.os.fsync))
        patched.setattr(Path, "replace", crash_at(Path.replace))
        with pytest.raises(Crash):
            write(tmp_path, new)
    found = contents(tmp_path)
    found.pop(MANIFEST)
    assert not [name for name in found if name.startswith(".")], "no half-written file is left"
    for name, content in found.items():
        assert content in (old.get(name), new.get(name)), name
    after = write(tmp_path, new, force=True)
    assert after.written
    assert {name: (tmp_path / name).read_bytes() for name in new} == new
    again = write(tmp_path, new)
    assert again.written and not again.conflicts


def test_after_a_crash_what_was_put_in_place_is_no_conflict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same spec is built again: what is already as it should be stays."""
    write(tmp_path, {"a.py": b"old\n", "b.py": b"old\n"})
    replace = Path.replace

    def crash(self: Path, target: Path) -> Path:
        if Path(target).name == "b.py":
            raise Crash
        return replace(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", crash)
        with pytest.raises(Crash):
            write(tmp_path, {"a.py": b"new\n", "b.py": b"new\n"})
    outcome = write(tmp_path, {"a.py": b"new\n", "b.py": b"new\n"})
    assert outcome.written
    assert outcome.files == {"a.py": Status.IDENTICAL, "b.py": Status.CHANGED}


names = st.sampled_from(["a.py", "b.py", "c.py"])
versions = st.dictionaries(names, st.sampled_from([b"1", b"2", b"3"]), min_size=1)


@given(st.lists(st.tuples(versions, st.dictionaries(names, st.sampled_from([b"x", b"y"])))))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_edit_is_ever_lost(
    tmp_path_factory: pytest.TempPathFactory, story: list[object]
) -> None:
    folder = tmp_path_factory.mktemp("story")
    for files, edits in story:  # type: ignore[misc]
        for name, content in edits.items():
            (folder / name).write_bytes(content)
        before = contents(folder)
        mine = {n: before[n] for n in edited(folder) if n in before}
        outcome = write(folder, files)
        after = contents(folder)
        assert all(after.get(name) == content for name, content in mine.items())
        if outcome.written:
            assert all(after[name] == content for name, content in files.items())
            assert json.loads(after[MANIFEST])["schema_version"] == 1
        else:
            assert after == before


def test_a_folder_that_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        write(tmp_path / "file", FILES)
