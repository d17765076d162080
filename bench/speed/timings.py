"""Measured steps as (job, card, seconds), out of the result files that hold them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from ftspec.compiler.arithmetic import Job
from ftspec.compiler.facts.gpus import Gpu, find_gpu
from ftspec.compiler.facts.model import Shape, resolve_model, shape_of

HERE = Path(__file__).resolve().parent
# Tokens a row of bench/methods: SmolLM2's documentation strings on average, and padded to the
# longest of 16 (`Lengths.quantile(16 / 17)`); the 7B shape's rows are all longer than 512.
DOCS_MEAN, DOCS_PADDED, LONG = 62.4, 87.0, 512.0
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
NOT_TIMED = 2  # first steps of a run, with what is loaded and made on the way


@dataclass(frozen=True, slots=True)
class Row:
    """One measured set-up: what was done, on which card, and how long an optimizer step took."""

    name: str
    job: Job
    gpu: Gpu
    seconds: float


def read(path: Path) -> Iterator[Row]:
    """Yield the rows of a file of results, whichever of the known kinds it is.

    A line that tells everything itself has: `model` (an id of the catalogue, or a config.json's
    keys), `method`, `batch`, `length`, `gpu`, `seconds_per_step`; where they are not the usual
    ones also `accumulation`, `rank`, `targets`, `quantization`, `checkpointing`, `attention`,
    `dtype`, `virtual_tokens`.
    """
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        yield from _fitcheck(json.loads(text))
        return
    for line in text.splitlines():
        row = json.loads(line)
        if "seconds_per_step" in row:
            yield _own(row)
        elif "tokens_per_second" in row:
            yield _methods(row)
        elif row.get("step_seconds") and not row.get("crowded") and row["exit"] == 0:
            yield from _vram(row)


def _gpu(name: str) -> Gpu:
    found = find_gpu(name)
    if found is None:
        sys.exit(f"the card {name} is not in the catalogue")
    return found


def _shape(model: str | dict[str, Any]) -> Shape:
    if isinstance(model, dict):
        return shape_of(model, "model")
    shape = resolve_model(model, HERE).shape
    if shape is None:
        sys.exit(f"the model {model} is not in the catalogue")
    return shape


def _job(shape: Shape, options: dict[str, Any]) -> Job:
    """Return the job of a set-up's options, as `speed.job_of` does for a plan."""
    method, targets = options["method"], tuple(options.get("targets") or ATTENTION)
    if targets == ("all-linear",):
        targets = tuple(name for name, _, _ in shape.linears())
    quantized = options.get("quantization", "none") != "none"
    job = Job(
        shape=shape,
        method=method,
        batch=options["batch"],
        length=options["length"],
        accumulation=options.get("accumulation", 1),
        rank=options.get("rank", 0),
        targets=targets,
        quantized=quantized,
        checkpointing=options.get("checkpointing", False),
        attention=options.get("attention", "sdpa"),
        virtual_tokens=options.get("virtual_tokens", 0),
        trained=shape.parameters if method == "full" else 0,
        autocast=options.get("dtype", "bfloat16") == "float32",
        short_adapters=quantized and method == "qlora",
        masked=options["batch"] > 1,
        full_logits=options.get("full_logits", False),
    )
    return job


def _own(row: dict[str, Any]) -> Row:
    name = row.get("case") or f"{row['method']} {row['batch']} x {row['length']}"
    return Row(name, _job(_shape(row["model"]), row), _gpu(row["gpu"]), row["seconds_per_step"])


def _methods(row: dict[str, Any]) -> Row:
    """A line of bench/methods/results.jsonl: its case says the model and the method."""
    small = row["case"].startswith("smollm2")
    words = row["case"].split("-")
    method, wide = words[1], row["case"].endswith("all-linear")
    options = {
        "method": method,
        "batch": row["micro_batch"],
        "length": DOCS_PADDED if small else LONG,
        "accumulation": row["accumulation"],
        "rank": (64 if wide else 16) if method in ("lora", "qlora") else 0,
        "targets": ("all-linear",) if wide else ATTENTION,
        "quantization": "nf4" if method == "qlora" else "none",
        "checkpointing": row["checkpointing"],
        "virtual_tokens": 20 if method in ("prefix", "prompt") else 0,
        "dtype": "float32" if method == "full" else "bfloat16",
    }
    model = "HuggingFaceTB/SmolLM2-135M-Instruct" if small else "meta-llama/Llama-2-7b-hf"
    tokens = row["micro_batch"] * row["accumulation"] * (DOCS_MEAN if small else LONG)
    seconds = tokens / row["tokens_per_second"]
    return Row(row["case"], _job(_shape(model), options), _gpu(row["gpu"]), seconds)


def _vram(row: dict[str, Any]) -> Iterator[Row]:
    """A line of bench/vram's results: its case lies in that grid. Crowded runs tell no time."""
    sys.path.insert(0, str(HERE.parent / "vram"))
    from cases import config_of
    from grid import grid

    case = {item.id: item for item in grid()}.get(row["case"])
    times = row["step_seconds"][NOT_TIMED - 1 :]
    if case is None or not times or case.dora or case.saved:
        return
    shape = shape_of(config_of(case.model), case.model)
    if shape.family is None or shape.experts:
        return
    letters = shape.family.targets(case.targets) if case.targets else ATTENTION
    options = {
        "method": case.method,
        "batch": case.batch,
        "length": float(case.length),
        "accumulation": case.accumulation,
        "rank": case.r,
        "targets": letters,
        "quantization": case.quantization,
        "checkpointing": case.checkpointing,
        "attention": case.attention,
        "virtual_tokens": case.virtual,
        "dtype": case.dtype,
        "full_logits": case.label_smoothing > 0,
    }
    yield Row(row["case"], _job(shape, options), _gpu(row["gpu"]), median(times))


def _fitcheck(document: dict[str, Any]) -> Iterator[Row]:
    """A file of fitcheck-llm's public T4 measurements: its unquantized rows under SDPA.

    The others stand for another stack: prepare_model_for_kbit_training keeps float32
    activations. Its loop builds full logits.
    """
    for run in document["runs"]:
        told, config = run["run"], run.get("model_config")
        seconds = run["measured"].get("step_seconds")
        usual = told["quantization"] == "none" and told["attn_impl"] == "sdpa"
        if not usual or seconds is None or config is None:
            continue
        shape = Shape(
            architecture="llama",
            layers=config["num_layers"],
            hidden=config["hidden_size"],
            ffn=config["intermediate_size"],
            heads=config["num_attention_heads"],
            kv_heads=config["num_kv_heads"],
            head_dim=config.get("head_dim")
            or config["hidden_size"] // config["num_attention_heads"],
            vocab=config["vocab_size"],
            tied=bool(config["tie_word_embeddings"]),
            positions=4096,
        )
        options = {
            "method": "lora",
            "batch": told["batch_size"],
            "length": float(told["seq_len"]),
            "rank": told["lora_rank"],
            "targets": tuple(told["lora_targets"]),
            "checkpointing": told["grad_checkpoint"],
            "full_logits": True,
        }
        name = f"{run['model_id'].partition('/')[2]} {told['batch_size']} x {told['seq_len']}"
        yield Row(name, _job(shape, options), _gpu(run["gpu"]), seconds)
