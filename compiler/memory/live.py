"""Trace a set-up live, in a child process that has the training libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from ftspec.compiler.memory import tapes
from ftspec.compiler.memory.peaks import Peaks
from ftspec.compiler.memory.trace.question import as_json
from ftspec.compiler.memory.work import Work

NEEDED = ("torch", "transformers", "peft", "trl", "bitsandbytes", "datasets")
# In some models the order of a set of layer kinds decides what is allocated first, and with it how
# much the allocator reserves (Gemma 3, Olmo 3): strings are hashed otherwise in every process, so
# either order may come. Under these two seeds they differ.
SEEDS = ("0", "1")
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
        self.failed = ""
        missing = [name for name in NEEDED if find_spec(name) is None]
        reason = (
            "the tapes are of other library versions"
            if tapes.outdated()
            else "no tape covers this set-up"
        )
        if missing:
            self.failed = f"{reason}, and {', '.join(missing)} is not installed to trace it"
            return None
        self.say(f"{reason}: tracing it once, which takes some seconds")
        folder = tapes.own_folder(tapes.installed())
        question = {
            "config": dict(config),
            "work": as_json(work),
            "capability": list(capability),
            "tapes": None if folder is None else str(folder.absolute()),
        }
        seen, kinds = self._ask(question, SEEDS[0])
        if seen is not None and kinds > 1:
            other, _ = self._ask({**question, "tapes": None}, SEEDS[1])
            seen = seen if other is None else max(seen, other, key=lambda peaks: peaks.reserved)
        return seen

    def _ask(self, question: Mapping[str, Any], seed: str) -> tuple[Peaks | None, int]:
        """Return the peaks, or None, and how many kinds of layers the model has."""
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-m", "ftspec.compiler.memory.trace"],
                input=json.dumps(question),
                env={**os.environ, "PYTHONHASHSEED": seed},
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            self.failed = f"the trace failed: {type(error).__name__}"
            return None, 0
        seen, kinds = _answer(done.stdout) if done.returncode == 0 else (None, 0)
        if seen is None:
            last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
            self.failed = f"the trace failed: {last[0][:200]}"
            return None, 0
        tapes.find.cache_clear()  # what was traced may be a tape by now
        return seen, kinds


def _answer(text: str) -> tuple[Peaks | None, int]:
    """Return what the last line of the child's output says: the peaks, None where it is no such,
    and the kinds of layers.
    """
    try:
        answer = json.loads(text.strip().splitlines()[-1])
        kinds = int(answer.pop("kinds", 1))
        phases = {name: (low, high) for name, (low, high) in answer["phases"].items()}
        return Peaks(**{**answer, "phases": phases}), kinds
    except (ValueError, LookupError, TypeError, AttributeError):
        return None, 0
