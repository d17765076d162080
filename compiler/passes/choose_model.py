"""Decide how the model is loaded: dtype, attention kernel, chat template."""

from __future__ import annotations

import os
from pathlib import Path

from ftspec.compiler.draft import Draft
from ftspec.compiler.facts.formats import PLAIN_TEMPLATE
from ftspec.compiler.rules import attention_refused, no_bf16, template_missing

CHAT_FORMATS = ("alpaca", "sharegpt", "messages")
CONVERTED = "base"  # the folder that convert.py writes a GGUF file's weights into


def choose_model(draft: Draft) -> Draft:
    """Decide everything under `model`."""
    facts, spec = draft.model, draft.spec.model
    gguf = facts.source == "gguf"
    name = CONVERTED if gguf else facts.name
    if facts.folder is not None:
        name = relative(facts.folder, draft)
    draft = draft.put("model.name", name, "where the scripts find it")
    draft = draft.put("model.local", facts.local, "whether it lies on this machine")
    source = relative(draft.root / Path(facts.name).expanduser(), draft) if gguf else None
    draft = draft.put(
        "model.gguf", source, "dequantized once by convert.py" if gguf else "not GGUF"
    )
    draft = draft.decide("model.revision", None, "the newest; the run records which")
    draft = _dtype(draft)
    draft = _attention(draft)
    draft = _template(draft)
    draft = draft.decide("model.trust_remote_code", spec.trust_remote_code, "off by default")
    shape = facts.shape
    draft = draft.put("model.architecture", shape.architecture if shape else None, "config.json")
    return draft.put("model.parameters", facts.parameters, "counted once where tied")


def relative(path: Path, draft: Draft) -> str:
    """Return a path as the scripts hold it: relative to the project where both share a root."""
    path, project = path.resolve(), draft.project.resolve()
    common = Path(os.path.commonpath([path, project]))
    if common == Path(common.anchor):
        return str(path)
    return Path(os.path.relpath(path, project)).as_posix()


def _dtype(draft: Draft) -> Draft:
    gpu = draft.hardware.gpu
    if gpu is None:
        draft = draft.decide("model.dtype", "float32", "the CPU computes in float32")
        return draft.put("train.precision", "none", "the CPU computes in float32")
    draft = draft.found(*no_bf16.find(draft))
    low = "bfloat16" if gpu.bf16 else "float16"
    full = draft.spec.method.type == "full"
    if full:
        reason = "one Adam step of 1e-5 moves 2 % of bf16 weights: float32 under autocast"
        draft = draft.decide("model.dtype", "float32", reason)
    elif gpu.bf16:
        draft = draft.decide("model.dtype", low, "the base is frozen: two bytes each are enough")
    else:
        draft = draft.decide("model.dtype", low, f"{gpu.name} has no bf16")
    return draft.put("train.precision", "bf16" if gpu.bf16 else "fp16", "autocast of the card")


def _attention(draft: Draft) -> Draft:
    shape = draft.model.shape
    if shape is not None and shape.family is not None and not shape.family.sdpa:
        reason = f"transformers does not load {shape.architecture} with sdpa"
        if shape.architecture == "gemma2":
            reason = "Gemma 2 caps its attention scores"
        draft = draft.decide("model.attention", "eager", reason)
    else:
        draft = draft.decide("model.attention", "sdpa", "PyTorch picks the fastest kernel it has")
    return draft.found(*attention_refused.find(draft))


def _template(draft: Draft) -> Draft:
    """A template is part of the plan where the spec gives one, or the tokenizer has none."""
    asked, facts = draft.spec.model.chat_template, draft.model
    path = "model.chat_template"
    if asked is not None:
        text = read_template(draft)
        if text is None:
            draft = draft.found(*template_missing.find(asked))
        draft = draft.put(path, text, "as written")
        return draft.put("model.chat_template_fallback", False, "as written")
    format = draft.data.format if draft.data else None
    if format is not None and format not in CHAT_FORMATS:
        draft = draft.put(path, None, f"`{format}` rows are not rendered")
        return draft.put("model.chat_template_fallback", False, "not rendered")
    if facts.chat_template is not None:
        draft = draft.put(path, None, "the tokenizer's own")
        return draft.put("model.chat_template_fallback", False, "the tokenizer's own")
    if facts.tokenizer_known:
        draft = draft.put(path, PLAIN_TEMPLATE, "the tokenizer has none: a plain one")
        return draft.put("model.chat_template_fallback", False, "the tokenizer has none")
    draft = draft.put(path, PLAIN_TEMPLATE, "used only where the tokenizer has none")
    return draft.put("model.chat_template_fallback", True, "the tokenizer is not at hand")


def read_template(draft: Draft) -> str | None:
    """Return the text of the spec's chat template, from its file or inline; None: no such file."""
    asked = draft.spec.model.chat_template
    if asked is None or "{%" in asked or "{{" in asked:
        return asked
    try:
        return (draft.root / Path(asked).expanduser()).read_text(encoding="utf-8")
    except (OSError, RuntimeError, ValueError):
        return None
