"""The child that measures, around emitted scripts that train tiny models on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from compiling import plan_of
from projects import SPECS, environment, tree_digest
from tiny import make_gpt2, make_llama, rows_of, write_rows

from ftspec.runtime.measure import measure
from ftspec.runtime.measured import Measured, measured_memory

LONG, LONGER = " red green blue" * 8, " red green blue" * 20
# Rows to be learnt from: 57 are short, two are longer, one is the longest.
ROWS = {5: LONG, 23: LONGER, 41: LONG}


def rows(format: str, column: str) -> list[dict[str, Any]]:
    found = rows_of(format, 60)
    for number, words in ROWS.items():
        found[number][column] += words
    return found


def measured(
    tmp_path: Path, spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> tuple[Measured, Path]:
    """Measure a spec in a folder beside its own; returns the folder too."""
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "scratch"
    folder.mkdir()
    plan = plan_of(spec, tmp_path / "user", project=folder / "project")
    said: list[str] = []
    found = measure(plan, folder, said.append)
    assert said[-1] == "measuring: evaluating one batch of the longest rows"
    assert measured_memory(plan.memory, found) == plan.memory, "the CPU shows nothing"
    return found, folder


def lengths(folder: Path, name: str, column: str, model: str) -> list[int]:
    """Return the tokens of a file's texts, longest first, with the token that ends them."""
    import csv

    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder / model))
    with (folder / name).open(encoding="utf-8", newline="") as file:
        texts = [row[column] for row in csv.DictReader(file)]
    return sorted((len(tokenizer(text)["input_ids"]) + 1 for text in texts), reverse=True)


def test_full_fine_tuning_with_early_stopping_and_rows_held_out_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = tmp_path / "user"
    make_gpt2(user / "gpt2")
    write_rows(user / "text.csv", rows("text", "text"))
    write_rows(user / "text-eval.csv", rows("text", "text")[:30])
    spec = {**SPECS["full"], "train": {**SPECS["full"]["train"], "eval_batch_size": 4}}
    before = tree_digest(user)
    found, folder = measured(tmp_path, spec, monkeypatch)

    texts = lengths(user, "text.csv", "text", "gpt2")
    first, second, last = found.steps
    assert last.shape == (2, texts[0])  # the longest row of all is in it, with the next to it
    assert last.tokens == 2 * (texts[0] + texts[1])  # in both micro-batches
    assert first.tokens == second.tokens < last.tokens
    assert found.evaluation is not None
    assert found.evaluation.tokens == sum(lengths(user, "text-eval.csv", "text", "gpt2")[:4])

    assert tree_digest(user) == before, "nothing of the user's has changed"
    written = [path for path in (folder / "project" / "runs").rglob("*") if path.is_file()]
    small = {".lock", "alive", "base.json", "events.jsonl"}
    assert {path.name for path in written} == small, "no weights are saved"


def test_packed_adapters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = tmp_path / "user"
    make_llama(user / "llama")
    write_rows(user / "rows.jsonl", rows("alpaca", "output"))
    spec = {
        "model": "llama",
        "method": "lora",
        "data": {"train": "rows.jsonl", "eval": "25%", "packing": True, "max_length": 128},
        "train": {"batch_size": 2, "gradient_accumulation": 1, "epochs": 1},
    }
    found, folder = measured(tmp_path, spec, monkeypatch)
    last = found.steps[-1]
    assert last.shape[-1] == last.tokens, "packed rows are one row, without padding"
    assert 2 * 100 < last.tokens <= 2 * 128
    assert len(found.steps) == 3
    assert not list((folder / "project").rglob("*.safetensors"))
