"""The lines that load what a run left."""

from __future__ import annotations

import json
from pathlib import Path

from ftspec.runtime.loading import load_lines
from ftspec.runtime.state import RunFolder


def test_lines_are_those_of_base_json(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, 1)
    assert load_lines(run) == []
    (tmp_path / "final").mkdir()
    file = tmp_path / "final" / "base.json"
    for broken in ("{", "[]", "{}"):
        file.write_text(broken)
        assert load_lines(run) == []
    file.write_text(json.dumps({"load": ["import x", "model = x.load(FINAL)"]}))
    assert load_lines(run) == ["import x", f"model = x.load('{tmp_path}/final')"]
