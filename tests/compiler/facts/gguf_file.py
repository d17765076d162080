"""Write small GGUF files by hand, whole and broken ones."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

F32, F16, Q4_0, Q8_0 = 0, 1, 2, 8
BLOCK = {F32: (1, 4), F16: (1, 2), Q4_0: (32, 18), Q8_0: (32, 34)}


@dataclass(frozen=True)
class Raw:
    """A value of the metadata with its type's number, already packed."""

    kind: int
    content: bytes


def text(value: str, order: str = "<") -> bytes:
    content = value.encode()
    return struct.pack(order + "Q", len(content)) + content


def texts(values: list[str], order: str = "<") -> Raw:
    head = struct.pack(order + "IQ", 8, len(values))
    return Raw(9, head + b"".join(text(value, order) for value in values))


def value(content: Any, order: str = "<") -> bytes:
    if isinstance(content, Raw):
        return struct.pack(order + "I", content.kind) + content.content
    if isinstance(content, bool):
        return struct.pack(order + "IB", 7, content)
    if isinstance(content, int):
        return struct.pack(order + "II", 4, content)
    if isinstance(content, float):
        return struct.pack(order + "If", 6, content)
    if isinstance(content, str):
        return struct.pack(order + "I", 8) + text(content, order)
    if isinstance(content, list) and content and isinstance(content[0], str):
        return value(texts(content, order), order)
    head = struct.pack(order + "IIQ", 9, 5, len(content))
    return head + b"".join(struct.pack(order + "i", item) for item in content)


def gguf(
    values: Mapping[str, Any],
    tensors: Mapping[str, tuple[tuple[int, ...], int]],
    *,
    version: int = 3,
    order: str = "<",
    data: bool = True,
) -> bytes:
    """Return a file's bytes; tensors are name -> (sizes, type), their data zeros."""
    head = b"GGUF" + struct.pack(order + "IQQ", version, len(tensors), len(values))
    for key, content in values.items():
        head += text(key, order) + value(content, order)
    offset = 0
    for name, (sizes, kind) in tensors.items():
        head += text(name, order) + struct.pack(order + "I", len(sizes))
        head += b"".join(struct.pack(order + "Q", size) for size in sizes)
        head += struct.pack(order + "IQ", kind, offset)
        elements = 1
        for size in sizes:
            elements *= size
        block, each = BLOCK.get(kind, (1, 1))
        offset += -(-elements // block * each // 32) * 32
    head += b"\0" * (-len(head) % 32)
    return head + (b"\0" * offset if data else b"")


def decoder(
    kind: str = "llama",
    *,
    layers: int = 2,
    hidden: int = 64,
    ffn: int = 96,
    heads: int = 4,
    kv_heads: int = 2,
    vocab: int = 50,
    tied: bool = True,
    biases: tuple[str, ...] = (),
    extra: Mapping[str, Any] | None = None,
    dtype: int = Q8_0,
) -> tuple[dict[str, Any], dict[str, tuple[tuple[int, ...], int]]]:
    """Return the metadata and tensors of a decoder with a gated MLP and RMS norms."""
    values: dict[str, Any] = {
        "general.architecture": kind,
        "general.name": "small",
        f"{kind}.block_count": layers,
        f"{kind}.context_length": 128,
        f"{kind}.embedding_length": hidden,
        f"{kind}.feed_forward_length": ffn,
        f"{kind}.attention.head_count": heads,
        f"{kind}.attention.head_count_kv": kv_heads,
        f"{kind}.attention.layer_norm_rms_epsilon": 1e-5,
        "tokenizer.ggml.tokens": [f"t{number}" for number in range(vocab)],
        "tokenizer.chat_template": "{{ messages }}",
        **(extra or {}),
    }
    kv = hidden // heads * kv_heads
    tensors: dict[str, tuple[tuple[int, ...], int]] = {
        "token_embd.weight": ((hidden, vocab), dtype),
        "output_norm.weight": ((hidden,), F32),
        "rope_freqs.weight": ((8,), F32),
    }
    if not tied:
        tensors["output.weight"] = ((hidden, vocab), dtype)
    for number in range(layers):
        block = f"blk.{number}."
        for name, inputs, outputs in (
            ("attn_q", hidden, hidden),
            ("attn_k", hidden, kv),
            ("attn_v", hidden, kv),
            ("attn_output", hidden, hidden),
            ("ffn_gate", hidden, ffn),
            ("ffn_up", hidden, ffn),
            ("ffn_down", ffn, hidden),
        ):
            tensors[f"{block}{name}.weight"] = ((inputs, outputs), dtype)
            if name in biases:
                tensors[f"{block}{name}.bias"] = ((outputs,), F32)
        for name in ("attn_norm", "ffn_norm"):
            tensors[f"{block}{name}.weight"] = ((hidden,), F32)
    return values, tensors
