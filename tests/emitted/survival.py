"""A project that is killed over and over, and what becomes of it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from projects import environment, of_kind

FAULTS = Path(__file__).with_name("faults")
SAVE_EVERY, STEPS = 4, 48
TRAIN = {
    "batch_size": 2,
    "gradient_accumulation": 2,
    "max_steps": STEPS,
    "logging_steps": 1,
    "save_steps": SAVE_EVERY,
    "eval_steps": SAVE_EVERY,
    "learning_rate": 1e-2,
}
SPEC: dict[str, Any] = {
    "model": "llama",
    "method": {"type": "lora", "target_modules": "all-linear"},
    "data": {"train": "alpaca.jsonl", "eval": "alpaca-eval.jsonl"},
    "train": TRAIN,
}


@dataclass(frozen=True)
class Fate:
    """What a fault did: the exit code, the last step logged, where the next start went on."""

    fault: dict[str, Any]
    code: int
    reached: int
    resumed: int | None = None

    @property
    def lost(self) -> int:
        return self.reached - (self.resumed or 0)


def train(
    project: Path, fault: dict[str, Any] | None = None, kill_after: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run train.py with a fault; `kill_after`: SIGKILL so many seconds after its first step."""
    env = environment(project.parent) | {"PYTHONPATH": str(FAULTS)}
    env["FAULT"] = json.dumps(fault or {})
    log = project.parent / "train.log"
    with log.open("a") as output:
        child = subprocess.Popen(
            [sys.executable, "train.py"], cwd=project, env=env, stdout=output, stderr=output
        )
        if kill_after is not None:
            file = project / "runs/1/events.jsonl"
            size = file.stat().st_size if file.exists() else 0
            while child.poll() is None:
                if file.exists() and b'"step", "time"' in file.read_bytes()[size:]:
                    time.sleep(kill_after)
                    child.kill()
                    break
                time.sleep(0.01)
        code = child.wait(300)
    return subprocess.CompletedProcess(["train.py"], code, "", log.read_text()[-3000:])


def reached(project: Path) -> int:
    """Return the last step that is in the log, in the order of writing."""
    file = project / "runs/1/events.jsonl"
    steps = of_kind(whole_events(project), "step") if file.exists() else []
    return steps[-1]["step"] if steps else 0


def whole_events(project: Path) -> list[dict[str, Any]]:
    """Return the events whose lines were written to their end."""
    found = []
    for line in (project / "runs/1/events.jsonl").read_text().splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def resumed_at(project: Path) -> int:
    """Return the step that the newest start went on from."""
    return int(of_kind(whole_events(project), "start")[-1]["step"])


def go_through(project: Path, faults: list[tuple[dict[str, Any], float | None]]) -> list[Fate]:
    """Let a run meet faults, one a start, and then end; returns what became of each.

    A run that has written its weights by then has ended, and lost nothing; no further fault is
    tried on it.
    """
    fates: list[Fate] = []
    for fault, kill_after in faults:
        began = starts(project)
        result = train(project, fault, kill_after)
        if starts(project) > began:
            fates = _resumed(fates, resumed_at(project))
        shown = fault or {"kill_after": kill_after}
        fates.append(Fate(shown, result.returncode, reached(project)))
        if (project / "runs/1/final").exists():
            return _resumed(fates, reached(project))
    result = train(project)
    assert result.returncode == 0, result.stderr
    return _resumed(fates, resumed_at(project))


def starts(project: Path) -> int:
    """Return how often training has begun."""
    return len(of_kind(whole_events(project), "start")) if log_of(project).exists() else 0


def log_of(project: Path) -> Path:
    return project / "runs/1/events.jsonl"


def _resumed(fates: list[Fate], step: int) -> list[Fate]:
    """Note for the faults that no later start has resumed yet where this one did."""
    return [
        Fate(fate.fault, fate.code, fate.reached, step) if fate.resumed is None else fate
        for fate in fates
    ]


def random_faults(seed: int, count: int, in_save: int) -> list[tuple[dict[str, Any], float | None]]:
    """Return kills at random moments, `in_save` of them surely in the middle of a save's file."""
    chance = random.Random(seed)
    found: list[tuple[dict[str, Any], float | None]] = []
    for number in range(count):
        if number < in_save:
            # A save calls torch.save four times: arguments, optimizer, schedule, random state.
            found.append(({"kill_in_save": chance.randint(1, 12)}, None))
        elif number % 3 == 0:
            found.append(({"kill_at_file": chance.randint(6, 100)}, None))
        else:
            found.append(({}, chance.uniform(0, 0.6)))
    chance.shuffle(found)
    return found


def final_weights(project: Path) -> bytes:
    return (project / "runs/1/final/adapter_model.safetensors").read_bytes()


def whole_checkpoints(project: Path) -> list[str]:
    return sorted(
        path.parent.name for path in (project / "runs/1").glob("checkpoint-*/manifest.json")
    )
