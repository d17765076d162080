"""Small data files made in the test, checked with every rule or one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ftspec.doctor.data.check import Checked, Wanted, check
from ftspec.doctor.data.readers.source import find_sources


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write rows as JSON lines; strings are written as they stand."""

    def call(rows: list[Any], name: str = "rows.jsonl") -> Path:
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return call


@pytest.fixture
def checked(write: Callable[..., Path], tmp_path: Path) -> Callable[..., Checked]:
    """Check rows; `held_out` are rows as well."""

    def call(rows: list[Any], held_out: list[Any] | None = None, near: bool = False) -> Checked:
        sources = find_sources([str(write(rows))], Path())
        kept = find_sources([str(write(held_out, "held.jsonl"))], Path()) if held_out else ()
        return check(sources, Wanted(held_out=kept, near=near))

    return call
