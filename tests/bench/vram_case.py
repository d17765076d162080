"""A small case and a tiny model's shape, for the tests of bench/vram."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cases
import t4
import tables

GIB = 2**30
STAMP = {"gpu": "NVIDIA H200", "driver": "580", "versions": {"torch": "2.11"}}
TINY = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 300,
    "max_position_embeddings": 128,
    "tie_word_embeddings": True,
}
CASE = cases.Case(
    model="HuggingFaceTB/SmolLM2-135M",
    method="lora",
    r=4,
    targets="attention",
    batch=2,
    length=32,
    dtype="float32",
    optimizer="adamw_torch",
    rows="ragged",
    accumulation=2,
    eval_batch=1,
)


def row(**changes: Any) -> tables.Row:
    """A measured case that was predicted to the byte."""
    facts: dict[str, Any] = {
        "case": "c",
        "split": "score",
        "architecture": "qwen3",
        "method": "lora",
        "gpu": "NVIDIA H200",
        "cap": None,
        "outcome": "ran",
        "allocated": 100,
        "driver": 110,
        "phase": "train",
        "predicted_allocated": 100,
        "predicted_driver": 110,
        "low": 105,
        "high": 115,
        "verdict": "fits",
        "predicted_phase": "train",
        "way": "tape",
    }
    return tables.Row(**facts | changes)


def t4_folder(folder: Path, **changes: Any) -> Path:
    """Two rows of one set-up, as the archive holds them; changes: to what was run."""
    run = {
        "model_id": "HuggingFaceTB/SmolLM2-135M",
        "run": {
            "kernel": "flash",
            "attn_impl": "sdpa",
            "seq_len": 512,
            "batch_size": 2,
            "quantization": "none",
            "double_quant": False,
            "lora_rank": 16,
            "lora_targets": ["q_proj"],
            **changes,
        },
        "measured": {
            "peak_allocated_mib": 100.0,
            "peak_reserved_mib": 120.0,
            "process_mib": 200.0,
            "cuda_context_mib": 80.0,
        },
    }
    entry = {"file": "runs.json", "index": 0, "session": "s"}
    rows = [{**entry, "run_id": "r", "role": "holdout"}, {**entry, "run_id": "q", "role": "repeat"}]
    content = {"rows": rows, "sessions": {"s": {"peft": "0.19.1"}}}
    (folder / "manifest.json").write_text(json.dumps(content))
    (folder / "runs.json").write_text(json.dumps({"runs": [run]}))
    (folder / t4.LICENCE).write_text("MIT")
    return folder
