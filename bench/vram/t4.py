"""The public T4 rows of fitcheck-llm (MIT), read in place: another project's own script.

Their set-up is not what ftspec emits: fp16, LoRA on q, k, v and o, checkpointing, the plain loss
that builds all logits, foreach AdamW, `prepare_model_for_kbit_training`. The rows are never copied
into this repository; their licence lies beside them as LICENSE.fitcheck-llm, and must stay there.
"""

from __future__ import annotations

import json
from collections.abc import Hashable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ftspec.compiler.facts import catalogue
from ftspec.compiler.facts.gpus import find_gpu
from ftspec.compiler.facts.model import shape_of
from ftspec.compiler.memory.predict import Tracer, predict
from ftspec.compiler.memory.work import Work

MIB = 2**20
LICENCE = "LICENSE.fitcheck-llm"


@dataclass(frozen=True, slots=True)
class Taken:
    """The allocator's peaks, bytes."""

    allocated: int
    reserved: int


@dataclass(frozen=True, slots=True)
class T4Row:
    """One row: what was run, and what it took (bytes).

    role: `calibration`, `holdout`, `repeat` or `excluded`, as its authors declare it. config: the
    keys of the model's config.json, None where the catalogue does not know it.
    """

    id: str
    role: str
    model: str
    config: dict[str, Any] | None
    batch: int
    length: int
    attention: str
    quantization: str
    double_quant: bool
    rank: int
    targets: tuple[str, ...]
    allocated: int
    reserved: int
    process: int
    context: int
    peft: tuple[int, ...]

    @property
    def method(self) -> str:
        """`lora` or `qlora`."""
        return "lora" if self.quantization == "none" else "qlora"

    @property
    def set_up(self) -> Hashable:
        """What has to be the same for two rows to take the same."""
        batch = self.batch, self.length, self.attention
        adapter = self.quantization, self.double_quant, self.rank, self.targets
        return self.model, *batch, *adapter, self.peft


def load_t4(folder: Path) -> tuple[T4Row, ...]:
    """Read the rows that the manifest lists. Raises FileNotFoundError without their licence."""
    if not (folder / LICENCE).exists():
        raise FileNotFoundError(f"{folder} has no {LICENCE}: the rows come under it")
    manifest = _json(folder / "manifest.json")
    files: dict[str, Any] = {}
    rows = []
    for entry in manifest["rows"]:
        name = entry["file"]
        if name not in files:
            files[name] = _json(folder / name)["runs"]
        release = manifest["sessions"][entry["session"]]["peft"]
        rows.append(_row(entry, files[name][entry["index"]], release))
    return tuple(rows)


def _row(entry: dict[str, Any], run: dict[str, Any], peft: str) -> T4Row:
    setting, measured = run["run"], run["measured"]
    kernel = setting.get("attn_impl") or setting["kernel"]
    return T4Row(
        id=entry["run_id"],
        role=entry["role"],
        model=run["model_id"],
        config=catalogue.known_config(run["model_id"]),
        batch=setting["batch_size"],
        length=setting["seq_len"],
        attention="eager" if kernel == "eager" else "sdpa",
        quantization=setting["quantization"],
        double_quant=bool(setting["double_quant"]),
        rank=setting["lora_rank"],
        targets=tuple(setting["lora_targets"]),
        allocated=_bytes(measured["peak_allocated_mib"]),
        reserved=_bytes(measured["peak_reserved_mib"]),
        process=_bytes(measured["process_mib"]),
        context=_bytes(measured["cuda_context_mib"]),
        peft=tuple(int(part) for part in peft.split(".")),
    )


def fitcheck_t4(row: T4Row, folder: Path) -> dict[str, Any] | None:
    """Return a row as a question to fitcheck-llm; None where the catalogue lacks its model."""
    parameters = catalogue.known_parameters(row.model)
    if row.config is None or parameters is None:
        return None
    config = folder / "t4" / f"{row.model.replace('/', '--')}.json"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(json.dumps(row.config), encoding="utf-8")
    training = {
        "precision": "fp16",
        "quantization": row.quantization,
        "double_quant": row.double_quant,
        "batch_size": row.batch,
        "seq_len": row.length,
        "lora_rank": row.rank,
        "lora_targets": list(row.targets),
        "grad_checkpoint": True,
        "flash_attn": row.attention == "sdpa",
    }
    question = {"id": row.id, "config": str(config), "parameters": parameters}
    return {**question, "training": training, "gpu": "t4"}


def _bytes(mib: float) -> int:
    return round(mib * MIB)


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def work_of(row: T4Row) -> Work:
    """Return the set-up that comes closest to a row's; raises KeyError for an unknown model.

    A spec cannot say: a loss on all logits but by label smoothing, whose trainer goes through the
    model twice; adapters of float32 on a quantized base without autocast; float32 norms, embedding
    and head around float16 layers (here all of a quantized model's computing is float32); a
    script without a trainer; segments that do not expand.
    """
    if row.config is None:
        raise KeyError(f"{row.model} is not in the catalogue")
    return Work(
        shape=shape_of(row.config, row.model),
        parameters=catalogue.known_parameters(row.model) or 0,
        method=row.method,
        batch=row.batch,
        length=row.length,
        dtype="float16",
        rank=row.rank,
        targets=row.targets,
        quantization=row.quantization,
        double_quant=row.double_quant,
        checkpointing=True,
        optimizer="adamw_torch",
        attention=row.attention,
        full_logits=True,
        padded=False,
    )


def predict_t4(row: T4Row, tracer: Tracer) -> Taken | None:
    """Return what ftspec predicts for the closest set-up; None where it has no answer."""
    gpu = find_gpu("t4")
    dtype = "float16" if row.quantization == "none" else "float32"
    ledger = predict(row.config, replace(work_of(row), dtype=dtype), gpu, tracer)
    if ledger is None or not ledger.reserved_bytes:
        return None
    return Taken(ledger.allocated_peak_bytes, ledger.reserved_bytes)
