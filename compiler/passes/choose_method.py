"""Decide the method's own numbers."""

from __future__ import annotations

from collections.abc import Iterable

from ftspec.compiler.draft import Draft
from ftspec.compiler.rules import unknown_module, unmapped_targets
from ftspec.spec.model import TARGET_PRESETS

ADAPTERS = ("lora", "qlora")


def choose_method(draft: Draft) -> Draft:
    """Decide rank, scale, targets, quantization, and the length of a prefix or soft prompt."""
    kind = draft.spec.method.type
    draft = draft.decide("method.type", kind, "as written")
    if kind in ADAPTERS:
        draft = _lora(draft)
    else:
        draft = _none(draft, ("r", "alpha", "dropout", "target_modules", "modules_to_save"))
        draft = draft.put("method.rslora", False, "no LoRA").put("method.dora", False, "no LoRA")
        draft = draft.put("method.bias", "none", "no LoRA")
        draft = draft.put("method.fan_in_fan_out", False, "no LoRA")
    quantization = "nf4" if kind == "qlora" else "none"
    why = "NormalFloat 4, from the QLoRA paper" if kind == "qlora" else "the base stays as stored"
    draft = draft.decide("method.quantization", quantization, why)
    four_bit = draft["method.quantization"] in ("nf4", "fp4")
    why = "0.4 bits a parameter less, for no measured loss (QLoRA paper, section 3)"
    draft = draft.decide("method.double_quant", four_bit, why if four_bit else "not 4-bit")
    if kind in ("prefix", "prompt"):
        draft = draft.decide("method.num_virtual_tokens", 20, "the usual length")
    else:
        draft = _none(draft, ("num_virtual_tokens",))
    if kind != "prompt":
        return _none(draft, ("init", "init_text"))
    start = "text" if draft.spec.method.init_text else "vocab"
    draft = draft.decide("method.init", start, "starts from real tokens' embeddings")
    return draft.decide("method.init_text", None, "starts from sampled tokens")


def _lora(draft: Draft) -> Draft:
    draft = draft.decide("method.r", 16, "general use: ranks 16 to 32")
    draft = draft.decide("method.alpha", 2 * draft["method.r"], "the standard scale: 2 r")
    draft = draft.decide("method.dropout", 0.05, "the usual start")
    draft = _targets(draft)
    draft = draft.decide("method.modules_to_save", None, "adapters alone are trained")
    draft = draft.decide("method.rslora", False, "plain alpha / r")
    draft = draft.decide("method.dora", False, "plain LoRA")
    shape = draft.model.shape
    family = shape.family if shape else None
    conv = bool(family and family.conv1d)
    draft = draft.put("method.fan_in_fan_out", conv, "how this architecture stores its weights")
    return draft.decide("method.bias", "none", "biases stay frozen")


def _targets(draft: Draft) -> Draft:
    asked = draft.spec.method.target_modules or ("attention",)
    shape = draft.model.shape
    family = shape.family if shape else None
    path = "method.target_modules"
    if len(asked) == 1 and asked[0] in TARGET_PRESETS:
        preset = asked[0]
        if family is not None:
            reason = f"`{preset}` in the names of {shape.architecture if shape else ''}"
            return draft.put(path, family.targets(preset), reason)
        if preset == "all-linear":
            return draft.put(path, ("all-linear",), "peft finds the linear layers")
        kind = shape.architecture if shape else None
        if kind is None:
            targets = ("q_proj", "v_proj") if preset == "attention-min" else _LLAMA_ATTENTION
            return draft.put(path, targets, "the usual names; the architecture is not known here")
        draft = draft.found(*unmapped_targets.find((preset, kind)))
        return draft.put(path, _LLAMA_ATTENTION, "not mapped")
    if family is not None:
        known = tuple(family.modules)
        draft = draft.found(
            *unknown_module.find((asked, known, shape.architecture if shape else ""))
        )
    return draft.put(path, tuple(asked), "as written")


_LLAMA_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")


def _none(draft: Draft, names: Iterable[str]) -> Draft:
    for name in names:
        draft = draft.put(f"method.{name}", None, f"not a number of {draft.spec.method.type}")
    return draft
