"""Write everything that the GPU machine needs into one archive: projects, rows, shapes."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import capped
from cases import Case, config_of
from grid import grid, pool
from rough import GIB, rough_bytes, rough_flops, shape_and_size
from rows import eval_lengths, train_lengths, write_rows, write_tokenizer
from weights import listed as tensors

from ftspec.compiler.emit import emit
from ftspec.compiler.facts.gpus import find_gpu
from ftspec.compiler.facts.hardware import Hardware, named
from ftspec.compiler.memory.predict import Tracer
from ftspec.compiler.pipeline import compile_spec
from ftspec.compiler.plan import Plan
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.parse import parse

STEPS = 3  # the second step is the first that starts with optimizer state; one more to be sure
ARCHIVE = "vram.tar.gz"
SPECIAL = ("bos_token_id", "eos_token_id")
SHAPES = ("config.json", "tensors.json")
CARRIED = ("train.py", "journal.py", "base.py", "plan.json")
# What the presets stand for in architectures that the compiler has no names for: transformers
# 5.23, models/<architecture>/modeling_*.py.
_ATTENTION = {"attention-min": ["q_proj", "v_proj"]}
_ATTENTION |= {"attention": ["q_proj", "k_proj", "v_proj", "o_proj"]}
UNMAPPED = dict.fromkeys(("olmo", "olmoe", "starcoder2"), _ATTENTION)


# What is said of a case that runs nevertheless: its memory is measured, not what it learns.
NOT_AGAINST = ("does-not-fit", "packed-rows-mix")


class CaseError(Exception):
    """A case does not compile; the message says what stands against it."""


def prepare(folder: Path, gpu: str = "h200", only: str = "", split: str = "") -> Path:
    """Compile all cases for a kind of card and pack them; returns the archive.

    The capped cases are chosen by today's predictions the first time, and kept in capped.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    hardware = hardware_of(gpu)
    under_caps = capped.read() or _choose(folder, hardware)
    listed = []
    for case in (*grid(), *under_caps):
        if only not in case.id or split not in ("", case.split):
            continue
        plan = build(case, folder, hardware)
        listed.append(entry(case, plan))
        memory = plan.memory
        peak = f"{memory.peak_bytes / GIB:6.2f} GiB" if memory.peak_bytes else "  unknown"
        print(f"{case.id:60} {case.split:5} {memory.verdict:7} {peak}", flush=True)
    (folder / "cases.json").write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")
    for name in sorted({item["folder"] for item in listed}):
        tensors(folder / "models" / name)
    return pack(folder, listed)


def hardware_of(gpu: str) -> Hardware:
    """Return one empty card of a kind; raises CaseError for an unknown name."""
    found = find_gpu(gpu)
    if found is None:
        raise CaseError(f"no card is called {gpu}")
    return named(found, 1)


def _choose(folder: Path, hardware: Hardware) -> tuple[Case, ...]:
    peaks = {}
    for case in pool():
        peak = predict(case, folder, hardware).memory.peak_bytes
        if peak is not None:
            peaks[case.id] = peak
    chosen = capped.choose(peaks)
    capped.write(chosen)
    return chosen


def build(case: Case, root: Path, hardware: Hardware, config: dict[str, Any] | None = None) -> Plan:
    """Compile a case, write its project under `root`, and return its plan."""
    plan = predict(case, root, hardware, config)
    project = root / "projects" / case.id
    project.mkdir(parents=True, exist_ok=True)
    files = emit(plan)
    for name in CARRIED:
        (project / name).write_bytes(files[name])
    return plan


def predict(
    case: Case,
    root: Path,
    hardware: Hardware,
    config: dict[str, Any] | None = None,
    tracer: Tracer | None = None,
) -> Plan:
    """Compile a case and return its plan with today's prediction; nothing is emitted.

    tracer: traces what no tape covers, which takes some seconds a case.

    Raises CaseError where a finding other than about memory stands against it.
    """
    _write_model(case, root, config)
    parsed = parse(spec_text(case, root), f"{case.id}.yaml")
    compiled = compile_spec(
        parsed, root, hardware, project=root / "projects" / case.id, tracer=tracer
    )
    against = [finding for finding in compiled.findings if _stands_against(finding)]
    if compiled.plan is None or against or compiled.plan.changes:
        said = "; ".join(f"{finding.name}: {finding.title}" for finding in against)
        raise CaseError(f"{case.id}: {said or 'the plan changed it'}")
    return compiled.plan


def _stands_against(finding: Finding) -> bool:
    return finding.severity is Severity.ERROR and finding.name not in NOT_AGAINST


def _write_model(case: Case, root: Path, config: dict[str, Any] | None) -> None:
    """Write a model's folder; its config is today's, whatever an earlier preparation left there."""
    folder = root / "models" / case.folder
    if not (root / "tokenizer" / "tokenizer.json").exists():
        write_tokenizer(root / "tokenizer")
    if not folder.exists():
        shutil.copytree(root / "tokenizer", folder)
    stored = "float16" if case.dtype == "float16" else "bfloat16"
    content = {**(config or config_of(case.model)), "dtype": stored, **dict.fromkeys(SPECIAL, 0)}
    content.pop("torch_dtype", None)
    (folder / "config.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def spec_text(case: Case, root: Path) -> str:
    """Return the case's spec; its rows are written. Nothing is left open that moves memory."""
    (root / "data").mkdir(parents=True, exist_ok=True)
    data: dict[str, Any] = {
        "train": f"data/{write_rows(root / 'data', 'train', train_lengths(case))}",
        "eval": "none",
        "format": "text",
        "max_length": case.length,
    }
    if case.method not in ("prefix", "prompt"):
        data["packing"] = case.rows == "packed"
    train: dict[str, Any] = {
        "batch_size": case.batch,
        "gradient_accumulation": case.accumulation,
        "activation_checkpointing": case.checkpointing,
        "optimizer": case.optimizer,
        "max_steps": STEPS,
        "warmup": 1,
        "logging_steps": 1,
        "save_steps": STEPS,
    }
    if case.eval_batch:
        data["eval"] = f"data/{write_rows(root / 'data', 'eval', eval_lengths(case))}"
        train |= {"eval_steps": STEPS, "eval_batch_size": case.eval_batch}
    if case.label_smoothing:
        train["label_smoothing"] = case.label_smoothing
    model = {"name": f"models/{case.folder}", "dtype": case.dtype, "attention": case.attention}
    sections: dict[str, Any] = {
        "model": model,
        "method": _method(case),
        "data": data,
        "train": train,
        "tune": {"memory": "off", "speed": "off", "overfitting": "off"},
    }
    if case.cap_gib:
        sections["hardware"] = {"vram_limit": f"{case.cap_gib}GiB"}
    return "".join(f"{name}: {json.dumps(part)}\n" for name, part in sections.items())


def _method(case: Case) -> dict[str, Any]:
    method: dict[str, Any] = {"type": case.method}
    if case.method in ("lora", "qlora"):
        names = UNMAPPED.get(case.architecture, {}).get(case.targets, case.targets)
        method |= {"r": case.r, "target_modules": names, "dropout": case.dropout}
        method |= {"dora": case.dora, "rslora": case.rslora}
        if case.saved:
            method["modules_to_save"] = list(case.saved)
    if case.quantization != "none":
        method["quantization"] = case.quantization
        if case.quantization in ("nf4", "fp4"):
            method["double_quant"] = case.double_quant
    if case.virtual:
        method["num_virtual_tokens"] = case.virtual
    return method


def entry(case: Case, plan: Plan) -> dict[str, Any]:
    """Return what the GPU machine and the report need to know of a case."""
    memory, (_, size) = plan.memory, shape_and_size(case.model)
    each = 4 if case.dtype == "float32" else 2
    likely = round(1.15 * (memory.peak_bytes or 1.3 * rough_bytes(case)))
    return {
        "id": case.id,
        "kind": case.kind,
        "split": case.split,
        "architecture": case.architecture,
        "folder": case.folder,
        "parameters": round(size),
        "case": asdict(case),
        "peak_bytes": memory.peak_bytes,
        "high_bytes": memory.high_bytes,
        "verdict": memory.verdict,
        # What the scheduler reserves: the card's bytes, the host's (a base that is not quantized
        # is read there first), and about how long it takes.
        "reserve_bytes": min(case.cap_gib * GIB, likely) if case.cap_gib else likely,
        "reserve_host_bytes": 4 * GIB + round(size * each * (case.quantization == "none")),
        "seconds": round(25 + 2e-9 * size + STEPS * rough_flops(case) / 2e14),
    }


def pack(folder: Path, listed: list[dict[str, Any]]) -> Path:
    """Write the archive, files of one name side by side, since they are much alike."""
    names = ["cases.json", *(f"tokenizer/{path.name}" for path in (folder / "tokenizer").iterdir())]
    folders = sorted({item["folder"] for item in listed})
    names += [f"models/{name}/{file}" for file in SHAPES for name in folders]
    names += sorted(f"data/{path.name}" for path in (folder / "data").iterdir())
    names += [f"projects/{item['id']}/{name}" for name in CARRIED for item in listed]
    target = folder / ARCHIVE
    with tarfile.open(target, "w:gz", compresslevel=9) as archive:
        for name in names:
            content = (folder / name).read_bytes()
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return target
