"""Projects of all five methods, each built and run once, whatever the number of test workers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from projects import SPECS, Trained, make_sources, once, train_once


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all test workers share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "emitted"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def sources(shared: Path) -> Path:
    """Tiny models and data."""
    return once(shared / "sources", make_sources)


@pytest.fixture(scope="session")
def trained(shared: Path, sources: Path) -> Callable[[str], Trained]:
    """Return a method's project, stopped, resumed and finished."""

    def find(method: str) -> Trained:
        folder = once(shared / method, lambda made: train_once(made, sources, method))
        base = folder / str(SPECS[method]["model"])
        return Trained(
            method,
            folder / "project",
            folder / "stopped",
            int((folder / "stop_code").read_text()),
            json.loads((folder / "report.json").read_text()),
            (folder / "base_digest").read_text(),
            base,
        )

    return find
