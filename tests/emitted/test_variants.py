"""Settings that change the script, run for a few steps each: what the recipes hold, and no more."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from compiling import build
from projects import events, run, spy
from tiny import rows_of, write_rows

TRAIN = {"batch_size": 2, "gradient_accumulation": 1, "max_steps": 3, "logging_steps": 1}


@pytest.fixture
def folder(sources: Path, tmp_path: Path) -> Path:
    for name in ("llama", "gpt2"):
        shutil.copytree(sources / name, tmp_path / name)
    return tmp_path


def report_of(folder: Path, spec: dict[str, Any]) -> dict[str, Any]:
    build(spec, folder / "project")
    spy(folder / "project", folder / "report.json", "train.py")
    assert events(folder / "project")[-1]["event"] == "end"
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


def test_packed_rows_keep_their_masks_and_their_positions(folder: Path) -> None:
    write_rows(folder / "rows.jsonl", rows_of("messages", 40))
    data = {"train": "rows.jsonl", "eval": "none", "packing": True, "max_length": 128}
    train = {**TRAIN, "activation_checkpointing": True, "scheduler": "warmup_stable_decay"}
    report = report_of(folder, {"model": "llama", "method": "lora", "data": data, "train": train})
    batch = report["batch"]
    (positions,), (labels,), (ids,) = batch["position_ids"], batch["labels"], batch["input_ids"]
    starts = [place for place, position in enumerate(positions) if position == 0]
    assert len(starts) > 4, "several rows lie in one sequence"
    for start, end in zip(starts, [*starts[1:], len(ids)], strict=True):
        learnt = [label for label in labels[start:end] if label != -100]
        assert learnt and learnt == ids[end - len(learnt) : end], "the answer, at the row's end"
        assert labels[start] == -100


def test_gpt2_s_layers_are_adapted_and_merged(folder: Path) -> None:
    """Their weights lie transposed; DoRA, rsLoRA, biases and a head go along."""
    write_rows(folder / "rows.csv", rows_of("prompt-completion", 24))
    method = {"type": "lora", "rslora": True, "dora": True, "bias": "lora_only"}
    method |= {"modules_to_save": ["lm_head"]}
    data = {"train": "rows.csv", "eval": "none"}
    train = {**TRAIN, "label_smoothing": 0.1, "optimizer": "adafactor", "learning_rate": 0.01}
    report = report_of(folder, {"model": "gpt2", "method": method, "data": data, "train": train})
    kinds = {"lora_A", "lora_B", "lora_magnitude_vector", "bias", "modules_to_save"}
    assert all(any(kind in name for kind in kinds) for name in report["changed"])
    assert all(any(kind in name for name in report["changed"]) for kind in kinds)
    run(folder / "project", "merge.py")


def test_a_prompt_on_a_quantized_base(folder: Path) -> None:
    write_rows(folder / "rows.parquet", rows_of("alpaca", 24))
    method = {"type": "prompt", "quantization": "nf4", "num_virtual_tokens": 3, "init": "random"}
    data = {"train": "rows.parquet", "eval": "none", "train_on_prompt": True}
    report = report_of(folder, {"model": "llama", "method": method, "data": data, "train": TRAIN})
    assert report["changed"] == ["prompt_encoder.default.embedding.weight"]
    assert "torch.uint8" in report["dtypes"].values()
    for ids, labels, mask in zip(
        *(report["batch"][key] for key in ("input_ids", "labels", "attention_mask")), strict=True
    ):
        seen = [token for token, shown in zip(ids, mask, strict=True) if shown]
        assert [label for label in labels if label != -100] == seen, "every token is learnt"


def test_selective_checkpointing_trains_the_adapters(folder: Path) -> None:
    write_rows(folder / "rows.jsonl", rows_of("alpaca", 24))
    train = {**TRAIN, "activation_checkpointing": "selective", "learning_rate": 0.01}
    data = {"train": "rows.jsonl", "eval": "none"}
    report = report_of(folder, {"model": "llama", "method": "lora", "data": data, "train": train})
    assert report["changed"] == report["trainable"] != []
