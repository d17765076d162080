"""What this machine is to the measurements that are kept."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from measurements import GIB, measured

from ftspec.compiler.memory.corrections import read
from ftspec.runtime import machine, nvidia
from ftspec.runtime.machine import recall, remember, torch_here
from ftspec.runtime.nvidia import Driver

CU130 = ("2.13.0+cu130", "13.0")


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a driver and a torch, and a cache of its own."""
    monkeypatch.setenv("FTSPEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(nvidia, "driver", lambda: Driver("580.1", "13.0"))
    monkeypatch.setattr(machine, "torch_here", lambda: CU130)
    return tmp_path / "cache" / "machine.json"


def test_what_is_remembered_is_recalled(kept: Path) -> None:
    assert recall("NVIDIA A10") == (None, "")
    assert remember("NVIDIA A10", measured(), None) == (kept, "")
    found, problem = recall("NVIDIA A10")
    assert found is not None and problem == ""
    assert (found.driver, found.torch, found.cuda) == ("580.1", *CU130)
    assert found.context_bytes == GIB // 2
    assert recall("NVIDIA A100") == (None, "")


def test_an_update_forgets(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remember("NVIDIA A10", measured(), None)
    monkeypatch.setattr(nvidia, "driver", lambda: Driver("590.1", "13.2"))
    assert recall("NVIDIA A10") == (None, "")


def test_deleting_the_file_forgets(kept: Path) -> None:
    remember("NVIDIA A10", measured(), None)
    kept.unlink()
    assert recall("NVIDIA A10") == (None, "")


def test_a_damaged_file_is_said_and_no_more(kept: Path) -> None:
    kept.parent.mkdir()
    kept.write_text("{")
    found, problem = recall("NVIDIA A10")
    assert found is None
    assert "is passed over" in problem


def test_without_a_driver_nothing_is_known(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remember("NVIDIA A10", measured(), None)
    monkeypatch.setattr(nvidia, "driver", lambda: None)
    assert recall("NVIDIA A10") == (None, "")
    assert remember("NVIDIA A10", measured(), None)[0] is None


def test_a_file_that_cannot_be_written_is_said(kept: Path) -> None:
    kept.parent.write_text("a file where the folder should be")
    path, problem = remember("NVIDIA A10", measured(), None)
    assert path is None
    assert problem.startswith(f"`{kept}` cannot be written: ")


def test_a_context_that_is_not_known_does_not_replace_one(kept: Path) -> None:
    remember("NVIDIA A10", measured(), None)
    remember("NVIDIA A10", measured(context_bytes=None), None)
    assert read(kept).machines[0].context_bytes == GIB // 2


# Torch, without importing it


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("__version__ = '2.13.0+cu130'\ncuda: Optional[str] = '13.0'\n", CU130),
        (
            "__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\nhip = '7'\n",
            ("2.13.0+cpu", None),
        ),
        ("__version__ = '2.6.0'\ncuda = '12.4'\n", ("2.6.0", "12.4")),
        ("", None),
        (None, None),
    ],
)
def test_torch_is_read_where_it_is_written(
    text: str | None, expected: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if text is not None:
        (tmp_path / "version.py").write_text(text)
    spec = ModuleSpec("torch", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    assert torch_here() == expected


def test_no_torch_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert torch_here() is None
