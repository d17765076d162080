"""What the compiler's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from world import make_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models and data; nothing may be written into it."""
    return make_world(tmp_path_factory.mktemp("world"))
