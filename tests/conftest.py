"""Options of the test suite."""

import os
import tempfile
from pathlib import Path

import pytest

from ftspec.compiler.memory import tapes


def pytest_configure() -> None:
    """No test asks the hub, traces live, or reads this machine's caches: the hub's and ftspec's."""
    absent = Path(tempfile.gettempdir()) / "ftspec-tests-no-cache"
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_HUB_CACHE"] = str(absent)
    os.environ["FTSPEC_TRACE"] = "off"
    os.environ["FTSPEC_CACHE"] = str(absent)
    # Nor the tapes that are shipped: they are recorded anew with each release of the libraries.
    # tests/compiler/memory/test_tapes.py looks at them.
    tapes.SHIPPED = absent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write what the code says into the expected files instead of comparing",
    )


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))
