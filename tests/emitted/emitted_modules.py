"""An emitted project's own modules, imported into the test."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType


@contextmanager
def imported(project: Path, name: str) -> Iterator[ModuleType]:
    """Import a script of a project; afterwards no module of the project is left."""
    own = {path.stem for path in project.glob("*.py")}
    sys.path.insert(0, str(project))
    try:
        yield importlib.import_module(name)
    finally:
        sys.path.remove(str(project))
        for module in own & set(sys.modules):
            del sys.modules[module]
        importlib.invalidate_caches()
