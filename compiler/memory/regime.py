"""Which tape a set-up needs: everything that changes which operations run, and in what order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ftspec.compiler.facts.config import text_config
from ftspec.compiler.facts.shape import Shape
from ftspec.compiler.memory.trace.attention_kernels import sdpa_backend
from ftspec.compiler.memory.work import Work

# Keys of config.json that change a block's operations; those that are numbers count as on or off.
STRUCTURE = (
    "hidden_act hidden_activation activation_function use_parallel_residual parallel_attn "
    "new_decoder_architecture multi_query alibi num_ln_in_parallel_attn do_layer_norm_before "
    "qk_layernorm use_qk_norm attention_dropout residual_dropout embedding_dropout resid_pdrop "
    "attn_pdrop embd_pdrop hidden_dropout clip_qkv attn_logit_softcapping final_logit_softcapping"
).split()
SHARES = ("partial_rotary_factor", "rotary_pct")
PRESETS = ("attention-min", "attention", "all-linear")


def structure(config: Mapping[str, Any], shape: Shape) -> str:
    """Return the name of a model's structure: models of one structure differ in widths alone."""
    keys = text_config(config)
    words = [shape.architecture]
    for name in STRUCTURE:
        value = keys.get(name)
        if value not in (None, False, 0, 0.0, ""):
            words.append(f"{name}={value if isinstance(value, str) else 'on'}")
    words += [f"{name}={keys[name]}" for name in SHARES if keys.get(name) not in (None, 1.0)]
    scaling = keys.get("rope_scaling") or keys.get("rope_parameters")
    if isinstance(scaling, Mapping):
        kind = scaling.get("rope_type", scaling.get("type"))
        if kind in ("dynamic", "longrope"):
            words.append(f"rope={kind}")
    words += [f"biases={shape.biases}"] if shape.biases else []
    words += ["tied"] if shape.tied else []
    words += [] if shape.kv_heads == shape.heads else ["grouped"]
    return " ".join(words)


def windowed(config: Mapping[str, Any], work: Work) -> bool:
    """Whether rows are longer than a sliding window, so that sdpa needs a mask for it."""
    keys = text_config(config)
    window = keys.get("sliding_window")
    if keys.get("use_sliding_window") is False or not isinstance(window, int):
        return False
    longest = work.length * (work.batch if work.packed else 1) + work.virtual_tokens
    return longest >= window


def regime(config: Mapping[str, Any], work: Work, capability: tuple[int, ...]) -> str | None:
    """Return the name of a set-up's regime, or None where tapes do not cover it."""
    if windowed(config, work) and work.attention == "sdpa":
        return None
    preset = _preset(work)
    single = work.shape.kv_heads == 1  # its transposes are contiguous: copies are left out
    rare = (
        single
        or _one_row_as_it_lies(work)
        or work.shape.layers == 1  # a tape's first block is never its last
        or work.dora
        or work.bias != "none"
        or work.modules_to_save
        or work.checkpointing == "selective"
    )
    if rare or preset is None or work.full_logits or work.shape.experts:
        return None
    if work.attention not in ("sdpa", "eager"):
        return None
    words = [work.method, work.dtype, work.autocast or "no autocast"]
    if work.quantization != "none":
        four = work.quantization in ("nf4", "fp4")
        words.append(
            ("4-bit" if four else "int8") + (" double" if four and work.double_quant else "")
        )
    words += [preset] if preset else []
    words += ["dropout"] if work.dropout else []
    words += ["checkpointed"] if work.checkpointing else []
    words.append(attention_of(work, capability))
    return ", ".join(words)


def _one_row_as_it_lies(work: Work) -> bool:
    """Whether products read a single row's heads where they lie, in a projection's whole result.

    Of several rows they are copied, as tapes have it; repeated heads are in any case (ATen
    LinearAlgebra.cpp, matmul: expand and reshape).
    """
    grouped = work.shape.kv_heads != work.shape.heads
    return work.attention == "eager" and work.batch == 1 and not work.packed and not grouped


def attention_of(work: Work, capability: tuple[int, ...]) -> str:
    """Return the attention kernel's name and whether there is a mask.

    Packed rows have one too; how it is made, and that there is one row, tells them apart.
    """
    masked = work.packed or (work.padded and work.batch > 1)
    suffix = " packed" if work.packed else " masked" if masked else ""
    if work.attention == "eager":
        return "eager" + suffix
    half = work.autocast or work.dtype
    grouped = work.shape.kv_heads != work.shape.heads and not masked
    kernel = sdpa_backend(
        capability, half, work.shape.head_dim, masked, not masked, 0.0, gqa=grouped
    )
    return kernel + suffix


def _preset(work: Work) -> str | None:
    """Return the preset that the targets are, "" without an adapter, None for another list."""
    if work.method not in ("lora", "qlora"):
        return ""
    family = work.shape.family
    if family is None:
        return None
    for preset in PRESETS:
        if set(work.targets) == set(family.targets(preset)):
            return preset
    return None
