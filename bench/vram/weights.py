"""Weights for a model folder that has only a config.json: a sparse file of zeros, or random ones.

What a run takes does not depend on the weights' values. A sparse file takes no room on the disk,
so a model of 70B is there at once. Names and shapes come from `tensors.json`; where that is not
there, torch and transformers make it.

    python bench/vram/weights.py FOLDER...      a folder whose name ends in `-random`: random
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

NAMES = {"bfloat16": "BF16", "float16": "F16", "float32": "F32", "int64": "I64", "bool": "BOOL"}
SIZES = {"BF16": 2, "F16": 2, "F32": 4, "I64": 8, "BOOL": 1}
SCALE = 0.02  # the usual standard deviation of new weights
BLOCK = 65_521  # random values, repeated; a prime, so that no two rows of a weight are alike

Tensors = Mapping[str, tuple[str, tuple[int, ...]]]


def make(folder: Path) -> Path:
    """Write `model.safetensors` beside a config.json, if it is not there."""
    target = folder / "model.safetensors"
    if not target.exists():
        partial = folder / "model.partial"
        write(partial, listed(folder), random=folder.name.endswith("-random"))
        partial.replace(target)
    return target


def listed(folder: Path) -> Tensors:
    """Return name -> (dtype, shape) from a folder's `tensors.json`, which is made if need be."""
    file = folder / "tensors.json"
    if not file.exists():
        file.write_text(json.dumps(tensors_of(folder)), encoding="utf-8")
    content = json.loads(file.read_text(encoding="utf-8"))
    return {name: (dtype, tuple(shape)) for name, (dtype, shape) in content.items()}


def tensors_of(folder: Path) -> Tensors:
    """Return name -> (dtype, shape) of a public checkpoint's tensors; tied ones once.

    The model is built on the meta device, and its names are turned back into those that
    checkpoints have (transformers 5.23, core_model_loading.py).
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.core_model_loading import revert_weight_conversion

    models: Any = AutoModelForCausalLM
    config = AutoConfig.from_pretrained(str(folder))
    with torch.device("meta"):
        model = models.from_config(config, dtype=config.dtype)
    state, seen = {}, set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            state[name] = tensor.detach()
    found = revert_weight_conversion(model, state)
    return {
        name: (NAMES[str(tensor.dtype).removeprefix("torch.")], tuple(tensor.shape))
        for name, tensor in found.items()
    }


def write(target: Path, tensors: Tensors, *, random: bool = False) -> None:
    """Write a safetensors file: its header by hand, then zeros that take no room.

    Format: https://huggingface.co/docs/safetensors (8 bytes of length, JSON, the data).
    """
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, (dtype, shape) in tensors.items():
        size = SIZES[dtype]
        for width in shape:
            size *= width
        header[name] = {
            "dtype": dtype,
            "shape": list(shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with target.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        start = file.tell()
        if random:
            (dtype,) = {dtype for dtype, _ in tensors.values()}
            block = _random_block(dtype)
            for at in range(0, offset, len(block)):
                file.write(block[: offset - at])
        file.truncate(start + offset)


def _random_block(dtype: str) -> bytes:
    rng = Random(0)
    values = [rng.gauss(0.0, SCALE) for _ in range(BLOCK)]
    if dtype == "F16":
        return struct.pack(f"<{BLOCK}e", *values) * 256
    singles = struct.pack(f"<{BLOCK}f", *values)
    if dtype == "F32":
        return singles * 256
    # The upper two bytes of a float32 are a bfloat16.
    return b"".join(singles[at + 2 : at + 4] for at in range(0, len(singles), 4)) * 256


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(f"{make(Path(argument)).stat().st_size / 1e9:8.2f} GB {argument}", flush=True)
