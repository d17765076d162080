"""Projects that run out of memory under a cap, by the phase that it happens in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

SMALL, MIDDLE = "HuggingFaceTB/SmolLM2-135M", "HuggingFaceTB/SmolLM2-360M"
OTHER = "HuggingFaceTB/SmolLM2-1.7B"
LARGE = "TinyLlama/TinyLlama-1.1B-Chat-v1.0"
LEARNING_RATE = {"full": 2e-5, "lora": 2e-4, "qlora": 2e-4}
LATE = 500  # the step of the one long row
EVALUATIONS = 8  # steps between two


@dataclass(frozen=True)
class Case:
    """A project. `length`: tokens of all rows; `longest`: of the one that comes late.

    phase: where memory is to run out. rows: a micro-batch. eval_batch: 0 without evaluation;
    its rows have `eval_length` tokens.
    """

    phase: str
    model: str
    method: str
    rows: int = 8
    accumulation: int = 1
    length: int = 512
    longest: int = 0
    steps: int = 24
    save: int = 8
    eval_batch: int = 0
    eval_length: int = 0
    allow: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The case's name."""
        model = self.model.rpartition("/")[2].partition("-Chat")[0].lower()
        return f"{self.phase.replace(' ', '-')}-{model}-{self.method}"

    @property
    def folder(self) -> str:
        """The folder of its model."""
        return self.model.rpartition("/")[2].lower()


CASES = (
    Case("load", LARGE, "lora", rows=2, length=128, allow=("quantize",)),
    Case("load", OTHER, "lora", rows=2, length=128, allow=("quantize",)),
    Case("step 1", LARGE, "lora", rows=8),
    Case("step 1", MIDDLE, "full", rows=8),
    Case("step 1", SMALL, "lora", rows=16),
    Case("step 1", LARGE, "qlora", rows=8),
    Case("late step", SMALL, "lora", length=48, longest=1536, steps=LATE + 20, save=50),
    Case("late step", SMALL, "full", length=48, longest=1536, steps=LATE + 20, save=50),
    Case("late step", MIDDLE, "lora", length=48, longest=1024, steps=LATE + 20, save=50),
    Case("evaluate", SMALL, "lora", rows=2, length=128, eval_batch=128, eval_length=1024),
    Case("evaluate", MIDDLE, "full", rows=2, length=128, eval_batch=128, eval_length=1024),
    Case("evaluate", LARGE, "qlora", rows=2, length=128, eval_batch=128, eval_length=1024),
    Case("save", SMALL, "full", rows=4, length=256),
    Case("save", MIDDLE, "full", rows=4, length=256),
)


def spec(case: Case, checkpointing: bool = False) -> dict[str, Any]:
    """Return a case's spec; nothing is fitted to the card, and dropout would hide differences."""
    method: dict[str, Any] = {"type": case.method}
    if case.method != "full":
        method |= {"r": 16, "target_modules": "attention", "dropout": 0}
    data = {"train": f"data/{case.id}.jsonl", "eval": "none", "format": "text"}
    train: dict[str, Any] = {
        "batch_size": case.rows,
        "gradient_accumulation": case.accumulation,
        "activation_checkpointing": checkpointing,
        "max_steps": case.steps,
        "learning_rate": LEARNING_RATE[case.method],
        "logging_steps": 1,
        "save_steps": case.save,
        "save_limit": 1,
    }
    if case.eval_batch:
        data["eval"] = f"data/{case.id}-eval.jsonl"
        train |= {"eval_steps": EVALUATIONS, "eval_batch_size": case.eval_batch}
    off = {"memory": "off", "speed": "off", "overfitting": "off", "allow": list(case.allow)}
    longest = max(case.length, case.longest, case.eval_length)
    return {
        "model": {"name": f"models/{case.folder}", "dtype": "bfloat16", "attention": "sdpa"},
        "method": method,
        "data": {
            **data,
            "max_length": longest,
            "packing": False,
        },
        "train": train,
        "tune": off,
        "run": {"max_attempts": 9},
    }


def as_text(sections: dict[str, Any]) -> str:
    """Return a spec as YAML, a section a line."""
    return "".join(f"{name}: {json.dumps(part)}\n" for name, part in sections.items())


def write_data(case: Case, folder: Path, place: int) -> None:
    """Write a case's rows: all different, of its length; the one at `place` is the longest."""
    folder.mkdir(parents=True, exist_ok=True)
    count = case.steps * case.rows * case.accumulation
    lengths = [case.length] * count
    if case.longest:
        lengths[place] = case.longest
    _write(folder / f"{case.id}.jsonl", lengths)
    if case.eval_batch:
        _write(folder / f"{case.id}-eval.jsonl", [case.eval_length] * (2 * case.eval_batch))


def _write(path: Path, lengths: list[int]) -> None:
    words = Random(path.name)
    alphabet = "abcdefgh "  # a token a character, and the end's: bench/vram/rows.py
    lines = (
        json.dumps({"text": "".join(words.choices(alphabet, k=length - 1))}) for length in lengths
    )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
