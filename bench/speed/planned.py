"""Compile the points of settings.py into one archive for the GPU machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "vram"))

import prepare as vram  # noqa: E402
from cases import Case  # noqa: E402
from rows import text  # noqa: E402
from settings import SETS, Point, Setting, told  # noqa: E402

from ftspec.compiler.emit import emit  # noqa: E402
from ftspec.compiler.pipeline import compile_spec  # noqa: E402
from ftspec.compiler.plan import Plan  # noqa: E402
from ftspec.spec.parse import parse  # noqa: E402

EFFECTIVE = 16
EPOCHS = 3
CARD = "h200"
CARRIED_ROWS = 1500  # of a setting, enough for the steps that are timed


def prepare(folder: Path, group: str) -> Path:
    """Write the projects of a group's points, and of what the planner chooses; packs them."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = []
    for setting in SETS[group]:
        chosen = choice(setting, folder)
        for point in dict.fromkeys((*setting.points, *([chosen] if group == "judge" else []))):
            listed.append({**written(setting, point, folder), "chosen": point == chosen})
        print(
            f"{setting.name}: {len(setting.points)} points, the planner's {chosen.id}", flush=True
        )
    (folder / "cases.json").write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")
    for name in sorted({item["folder"] for item in listed}):
        vram.tensors(folder / "models" / name)
    return vram.pack(folder, listed)


def choice(setting: Setting, folder: Path) -> Point:
    """Return what the planner makes of a setting that leaves everything open."""
    plan = compiled(setting, None, folder)
    return Point(
        micro=plan.train.batch_size,
        checkpointing=plan.train.activation_checkpointing,
        packing=plan.data.packing,
        compile=plan.train.compile,
    )


def written(setting: Setting, point: Point, folder: Path) -> dict[str, Any]:
    """Write a point's project; returns what the GPU machine needs to know of it."""
    plan = compiled(setting, point, folder)
    name = f"{setting.name}-{point.id}"
    project = folder / "projects" / name
    project.mkdir(parents=True, exist_ok=True)
    files = emit(plan)
    for file in vram.CARRIED:
        (project / file).write_bytes(files[file])
    return {
        "id": name,
        "folder": model_of(setting).folder,
        "setting": told(setting),
        "cap_bytes": setting.cap_gib * 2**30,
        "tweak": list(point.tweak),
        "peak_bytes": plan.memory.peak_bytes,
        "high_bytes": plan.memory.high_bytes,
    }


def model_of(setting: Setting) -> Case:
    """Return a case of bench/vram, for its model folder: random weights (zeros draw less power)."""
    return Case(model=setting.model, method=setting.method, batch=1, length=8, weights="random")


def compiled(setting: Setting, point: Point | None, folder: Path) -> Plan:
    """Compile a setting with a point's values written, or (None) left open."""
    vram._write_model(model_of(setting), folder, None)
    parsed = parse(spec_text(setting, point, folder), f"{setting.name}.yaml")
    result = compile_spec(parsed, folder, vram.hardware_of(CARD), project=folder / "projects" / "p")
    errors = [f for f in result.findings if f.severity == "error" and f.name != "does-not-fit"]
    if result.plan is None or errors:
        raise SystemExit(f"{setting.name}: {[finding.title for finding in errors]}")
    return result.plan


def spec_text(setting: Setting, point: Point | None, folder: Path) -> str:
    """Return the spec; its rows are written. The planner sees all rows, the GPU the first."""
    method: dict[str, Any] = {"type": setting.method}
    if setting.method != "full":
        method |= {"r": setting.r, "target_modules": setting.targets, "dropout": 0.05}
    data: dict[str, Any] = {"train": rows(setting, folder, point is None), "eval": "none"}
    data |= {"format": "text", "max_length": setting.max_length}
    train: dict[str, Any] = {"effective_batch": EFFECTIVE, "epochs": EPOCHS}
    tune = "auto"
    if point is not None:
        tune = "off"
        data["packing"] = point.packing
        train |= {
            "batch_size": point.micro,
            "activation_checkpointing": point.checkpointing,
            "compile": point.compile,
        }
    sections = {
        "model": {"name": f"models/{model_of(setting).folder}", "dtype": setting.dtype},
        "method": method,
        "data": data,
        "train": train,
        "hardware": {"vram_limit": f"{setting.cap_gib}GiB"},
        "tune": {"memory": tune, "speed": tune, "overfitting": "off"},
    }
    return "".join(f"{name}: {json.dumps(part)}\n" for name, part in sections.items())


def rows(setting: Setting, folder: Path, every: bool) -> str:
    """Write the setting's rows; returns their name under `folder`."""
    lengths = setting.row_lengths()
    name = f"data/{setting.name}{'-all' if every else ''}.jsonl"
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        kept = lengths if every else lengths[:CARRIED_ROWS]
        lines = (json.dumps({"text": text(length)}) for length in kept)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return name
