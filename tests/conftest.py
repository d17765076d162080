"""Options of the test suite."""

import os
import tempfile
from pathlib import Path

import pytest


def pytest_configure() -> None:
    """No test asks the hub or reads this machine's cache of it."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["FTSPEC_TRACE"] = "off"
    os.environ["FTSPEC_CACHE"] = str(Path(tempfile.gettempdir()) / "ftspec-tests-no-cache")
    os.environ["HF_HUB_CACHE"] = str(Path(tempfile.gettempdir()) / "ftspec-tests-no-cache")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write what the code says into the expected files instead of comparing",
    )


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))
