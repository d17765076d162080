"""Small logs made here: curves with a known course and seeded noise, written as events."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ftspec.doctor.curves.log import Log
from ftspec.doctor.diagnose import Diagnosed, SpecText, diagnose_log

START = {
    "event": "start",
    "total_steps": 0,
    "epochs": 3.0,
    "micro_batch": 4,
    "accumulation": 4,
    "effective_batch": 16,
    "learning_rate": 2e-4,
    "resumed_from": None,
}


def events(
    losses: Sequence[float],
    evals: Sequence[float] = (),
    *,
    every: int = 10,
    epochs: float = 3.0,
    rates: Sequence[float] | None = None,
    **start: Any,
) -> str:
    """Write an events.jsonl: the losses at steps every, 2 every, …; evals spread evenly."""
    size = len(losses)
    rows = [{**START, "total_steps": size * every, "epochs": epochs, **start}]
    for place, loss in enumerate(losses):
        share = (place + 1) / size
        rate = rates[place] if rates else rows[0]["learning_rate"]
        step = {"event": "step", "step": (place + 1) * every, "epoch": round(epochs * share, 4)}
        rows.append({**step, "loss": loss, "grad_norm": 1.0, "learning_rate": rate})
        for number, held_out in enumerate(evals, 1):
            if math.ceil(number * size / len(evals)) == place + 1:
                rows.append({**rows[-1], "event": "eval", "loss": held_out})
    return "\n".join(json.dumps(row) for row in rows) + "\n"


def decay(size: int, start: float, end: float, seed: int, noise: float) -> list[float]:
    """Make a healthy course: a fast fall that slows down, with noise in proportion to it."""
    source = random.Random(seed)
    course = [end + (start - end) * math.exp(-6 * place / size) for place in range(size)]
    return [level * max(0.05, 1 + source.gauss(0, noise)) for level in course]


def judge(text: str, spec: str | None = None) -> Diagnosed:
    """Diagnose the text of a log, with the text of a spec."""
    given = SpecText.of("ftspec.yaml", spec) if spec is not None else None
    return diagnose_log(Log.of_bytes("log", text.encode()), given)


@pytest.fixture
def make_events() -> Callable[..., str]:
    return events


@pytest.fixture
def make_decay() -> Callable[..., list[float]]:
    return decay


@pytest.fixture
def diagnosed() -> Callable[..., Diagnosed]:
    return judge


@pytest.fixture
def shared_logs() -> Path:
    folder = Path(__file__).parents[3] / "shared" / "logs"
    if not (folder / "INDEX.tsv").is_file():
        pytest.skip(f"the labelled logs are not at {folder}")
    return folder
