"""Trace a set-up live, in a child process that has the training libraries."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ftspec.compiler.memory import tapes
from ftspec.compiler.memory.peaks import Peaks
from ftspec.compiler.memory.trace.question import as_json
from ftspec.compiler.memory.work import Work

NEEDED = ("torch", "transformers", "peft", "trl", "bitsandbytes", "datasets")
SECONDS = 300  # the deepest models without a fold take about a minute


class LiveTracer:
    """Traces with this interpreter's own libraries; `say` is told when one begins.

    What could be written as a tape is kept in this machine's cache, so that the next question of
    the kind is answered at once.
    """

    def __init__(self, say: Callable[[str], None] = lambda _: None) -> None:
        self.say = say
        self.failed = ""

    def __call__(
        self, config: Mapping[str, Any], work: Work, capability: tuple[int, ...]
    ) -> Peaks | None:
        """Return the peaks, or None: `failed` says why."""
        missing = [name for name in NEEDED if find_spec(name) is None]
        if missing:
            self.failed = (
                f"no tape covers it, and {', '.join(missing)} is not installed to trace it"
            )
            return None
        self.say("no tape covers this set-up: tracing it once, which takes some seconds")
        *_, folder = tapes.folders()
        question = {
            "config": dict(config),
            "work": as_json(work),
            "capability": list(capability),
            "tapes": str(folder),
        }
        return self._ask(question)

    def _ask(self, question: Mapping[str, Any]) -> Peaks | None:
        try:
            done = subprocess.run(
                [sys.executable, "-m", "ftspec.compiler.memory.trace"],
                input=json.dumps(question),
                capture_output=True,
                text=True,
                timeout=SECONDS,
                cwd=Path.home(),
                check=False,
            )
            answer = json.loads(done.stdout.strip().splitlines()[-1]) if done.stdout else None
        except (OSError, ValueError, IndexError, subprocess.TimeoutExpired) as error:
            self.failed = f"the trace failed: {type(error).__name__}"
            return None
        if done.returncode != 0 or not isinstance(answer, dict):
            last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
            self.failed = f"the trace failed: {last[0][:200]}"
            return None
        phases = {name: tuple(pair) for name, pair in answer["phases"].items()}
        return Peaks(**{**answer, "phases": phases})
