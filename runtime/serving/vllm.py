"""vLLM: one base in memory, the adapters on it, each a model by its name.

Its options are those of `vllm serve --help` (vLLM 0.10 and later); what its LoRA loader refuses is
in `vllm/lora/peft_helper.py`, the ranks it takes in `vllm/config/lora.py`.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ftspec.runtime.serving.models import BASE, NotServableError, Offer, Served

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
INSTALL = "pip install vllm   (in an environment of its own: it brings its own torch)"


def program(python: str) -> str | None:
    """Return the `vllm` program: beside a Python, or on the path; None where there is none."""
    return shutil.which("vllm", path=os.path.dirname(python)) or shutil.which("vllm")


def refused(found: Offer) -> str | None:
    """Say why vLLM cannot serve an offer; None: it can."""
    for model in found.models:
        if model.config and (why := _refused(model)):
            return f"vLLM does not serve `{model.name}`: {why}"
    if found.base is None and len(found.models) > 1:
        return "vLLM serves one whole model at a time"
    return None


def _refused(model: Served) -> str | None:
    if model.config.get("use_dora"):
        return "it is a DoRA adapter"
    if model.config.get("modules_to_save"):
        return "it holds whole modules (modules_to_save)"
    if model.config.get("bias", "none") != "none":
        return "it trained biases"
    return f"its rank is over {RANKS[-1]}" if model.rank > RANKS[-1] else None


def command(found: Offer, vllm: str, host: str, port: int) -> list[str]:
    """Return the command that serves an offer. Raises NotServableError."""
    if why := refused(found):
        raise NotServableError(why)
    words = [vllm, "serve", found.base or str(found.models[0].folder)]
    words += ["--served-model-name", BASE if found.base else found.models[0].name]
    words += ["--host", host, "--port", str(port), "--dtype", found.dtype]
    if found.revision:
        words += ["--revision", found.revision]
    if found.trust_remote_code:
        words += ["--trust-remote-code"]
    if found.quantization == "nf4":
        words += ["--quantization", "bitsandbytes"]  # in flight: nf4, with double quantization
    if template := _template(found):
        words += ["--chat-template", str(template)]
    if found.base:
        rank = max(model.rank for model in found.models)
        words += ["--enable-lora", "--max-loras", str(len(found.models))]
        words += ["--max-lora-rank", str(next(size for size in RANKS if size >= rank))]
        words += ["--lora-modules", *(f"{model.name}={model.folder}" for model in found.models)]
    return words


def notes(found: Offer) -> list[str]:
    """Say where what is served is not quite what was trained."""
    told = []
    if found.quantization in ("fp4", "int8"):
        told.append(f"the base was quantized to {found.quantization}; it is served unquantized")
    if found.quantization == "nf4" and not found.double_quant:
        told.append("vLLM quantizes the constants a second time, which training did not")
    texts = {model.template.read_bytes() if model.template else b"" for model in found.models}
    if len(texts) > 1:
        told.append(f"one chat template renders all: {found.models[0].name}'s")
    return told


def _template(found: Offer) -> Path | None:
    return found.models[0].template
