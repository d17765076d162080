"""A real browser without a window, where the machine has one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from devtools import Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
TIMEOUT = 120  # seconds: the first start of a browser on a busy machine

Chromium = Callable[..., str]


@pytest.fixture(scope="session")
def browser() -> str:
    """The browser's program."""
    program = next((path for name in NAMES if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    return program


@pytest.fixture
def devtools(browser: str, tmp_path: Path) -> Iterator[Page]:
    """A browser that is driven as a person does; its downloads go to `tmp_path / "downloads"`."""
    page = Page(browser, tmp_path / "profile", tmp_path / "downloads")
    yield page
    page.close()


@pytest.fixture(scope="session")
def chromium(browser: str, tmp_path_factory: pytest.TempPathFactory) -> Chromium:
    """Open a page and return its document after its scripts have run."""
    profile = tmp_path_factory.mktemp("profile")

    def dump(page: Path, *options: str) -> str:
        done = subprocess.run(
            [
                *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
                *(f"--user-data-dir={profile}", "--virtual-time-budget=4000", "--dump-dom"),
                *(*options, page.as_uri()),
            ],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return dump
