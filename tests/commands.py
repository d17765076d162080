"""Specs for the command line, and how a verb answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FLAT = """\
model: meta-llama/Llama-2-7b-hf
lora_r: 16
lora_alpha: 32
batch_size: 4
gradient_accumulation: 4
learning_rate: 2e-4
epochs: 3
use_4bit: true
"""
SMALL = "model: tiny\nmethod: lora\ndata: rows.jsonl\n"
BIG = "model: meta-llama/Llama-2-7b-hf\nmethod: full\ndata: rows.jsonl\n"
SCRIPT = str(Path(sys.executable).with_name("ftspec"))


@dataclass(frozen=True)
class Answer:
    """How a verb ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def last(self) -> str:
        return self.out.splitlines()[-1]


Ftspec = Callable[..., Answer]


def shell(*arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the console script as a user would; `env` is added to the environment."""
    return subprocess.run(
        [SCRIPT, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **env},
        timeout=60,
    )
