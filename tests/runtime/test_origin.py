"""What a run came from."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ftspec.runtime.origin import commit, versions


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_the_commit_of_a_folder(tmp_path: Path) -> None:
    assert commit(tmp_path) is None
    assert commit(tmp_path / "absent") is None

    def git(*words: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(
            ["git", *who, *words], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    git("init", "-q")
    assert commit(tmp_path) is None, "nothing is committed yet"
    (tmp_path / "spec.yaml").write_text("model: m\n")
    git("add", ".")
    git("commit", "-q", "-m", "one")
    head = git("rev-parse", "HEAD")
    assert commit(tmp_path) == head
    (tmp_path / "spec.yaml").write_text("model: n\n")
    assert commit(tmp_path) == f"{head}-dirty"


def test_versions_of_another_python_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: f"{name} 1")
    assert versions(sys.executable)["torch"] == "torch 1"
    assert versions("/another/python") == {}
