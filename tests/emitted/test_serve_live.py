"""`transformers serve`, really started: each adapter answers by its name as chat.py does."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from projects import Trained, environment, run

from ftspec.runtime.serving.transformers_serve import installed

Find = Callable[[str], Trained]
ASK = "what is red 0"
pytestmark = pytest.mark.skipif(
    not installed(sys.executable), reason="`transformers serve` lacks fastapi, uvicorn or openai"
)


@pytest.fixture
def served(trained: Find, tmp_path: Path) -> Iterator[tuple[Trained, str]]:
    """A project whose run is served under two names, and where; the server is up."""
    made = trained("lora")
    project = shutil.copytree(made.project, made.project.parent / "served", dirs_exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--port", str(port), "--server", "transformers", "--run", "1"]
    child = subprocess.Popen(
        [sys.executable, "-m", "ftspec", "serve", str(project), *words]
        + ["--adapter", f"again={made.project}"],
        env=environment(tmp_path),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        place = f"http://127.0.0.1:{port}"
        until = time.monotonic() + 120
        while not up(place):
            assert child.poll() is None and time.monotonic() < until, "the server is not up"
            time.sleep(0.5)
        yield made, place
    finally:
        child.kill()
        child.wait()


def up(place: str) -> bool:
    """Say whether a server answers."""
    try:
        with urllib.request.urlopen(f"{place}/health", timeout=10):
            return True
    except OSError:
        return False


def ask(place: str, model: str) -> str:
    """Return what a model answers."""
    body = {"model": model, "messages": [{"role": "user", "content": ASK}], "max_tokens": 8}
    request = urllib.request.Request(
        f"{place}/v1/chat/completions",
        json.dumps({**body, "temperature": 0}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=100) as answer:
        said = json.load(answer)["choices"][0]["message"]["content"]
    assert isinstance(said, str)
    return said.strip()


def test_each_name_answers_as_chat_does(served: tuple[Trained, str]) -> None:
    made, place = served
    options = ["--prompt", ASK, "--max-new-tokens", "8"]
    tuned = run(made.project, "chat.py", *options).stdout.strip()
    assert tuned
    assert [ask(place, name) for name in ("tuned", "again")] == [tuned, tuned]
    assert ask(place, "base") == run(made.project, "chat.py", *options, "--base").stdout.strip()
