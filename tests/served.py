"""Projects with trained runs, as far as serving looks at them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LORA = {"peft_type": "LORA", "r": 16, "lora_alpha": 32, "bias": "none", "use_dora": False}


def adapter(folder: Path, weights: str | None = "w", **config: Any) -> Path:
    """Write an adapter's folder; `weights` is the hash of its base, None: it tells none."""
    folder.mkdir(parents=True)
    told = {"base_model_name_or_path": "org/model-7b", **LORA, **config}
    (folder / "adapter_config.json").write_text(json.dumps(told))
    (folder / "adapter_model.safetensors").write_text(f"adapter of {folder.parent.name}")
    (folder / "chat_template.jinja").write_text("template")
    if weights is not None:
        (folder / "base.json").write_text(json.dumps({"weights": weights, "commit": "c0ffee"}))
    return folder


def whole(folder: Path) -> Path:
    """Write a whole model's folder."""
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "tokenizer.json", "pytorch_model.bin"):
        (folder / name).write_text(f"base's {name}")
    return folder


def project(folder: Path, runs: int = 1, *, adapters: bool = True, **method: Any) -> Path:
    """Write a project with finished runs."""
    plan = {
        "model": {"name": "org/model-7b", "local": False, "revision": None, "dtype": "bfloat16"},
        "data": {"system": "Be kind."},
        "method": {"quantization": "none", "double_quant": True, **method},
    }
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(json.dumps(plan))
    (folder / "train.py").write_text("")
    for number in range(1, runs + 1):
        final = folder / "runs" / str(number) / "final"
        (adapter if adapters else whole)(final)
    return folder


def local(folder: Path) -> Path:
    """Have a project's base lie beside it."""
    plan = json.loads((folder / "plan.json").read_text())
    plan["model"] |= {"name": "../model-7b", "local": True}
    (folder / "plan.json").write_text(json.dumps(plan))
    whole(folder.parent / "model-7b")
    return folder
