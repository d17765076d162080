"""Linear layers of bitsandbytes in 4 and 8 bits: products, and the way to the card."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from meter import DEVICE, Task, case, emit, normal, peak_of

SHAPES = ((2048, 2048), (2048, 8192), (8192, 2048), (896, 4864))  # inputs, outputs
NF4 = {"bias": False, "compute_dtype": torch.bfloat16, "quant_type": "nf4"}
INT8 = {"bias": False, "has_fp16_weights": False}


def quant4() -> Iterator[Task]:
    """4-bit layers over few and many tokens: the fused kernel, or the weight dequantized first."""
    for nested in (True, False):
        for tokens in (4, 16, 64, 512, 1000, 1536, 2048):
            shapes = SHAPES if tokens in (64, 512, 2048) else SHAPES[:1]
            for width, outputs in shapes:
                name = f"nf4 dq={nested} M{tokens} K{width} N{outputs}"
                yield case(name, partial(_inputs4, width, outputs, tokens, nested), _call)
    yield _loading("Linear4bit", compress_statistics=True, **NF4)
    yield case("nf4 fp32 input autocast", _inputs_in_float, _call_in_autocast)


def quant8() -> Iterator[Task]:
    """8-bit layers with and without outliers taken apart."""
    for dtype, threshold, tokens in (
        (torch.float16, 6.0, 2048),
        (torch.bfloat16, 6.0, 2048),
        (torch.bfloat16, 0.0, 2048),
        (torch.float16, 6.0, 100),
    ):
        name = f"int8 {dtype} thr={threshold} M{tokens}"
        yield case(name, partial(_inputs8, dtype, threshold, tokens), _call)
    yield _loading("Linear8bitLt", threshold=6.0, **INT8)


def _layer(kind: str, inputs: int, outputs: int, **options: Any) -> Any:
    import bitsandbytes

    return getattr(bitsandbytes.nn, kind)(inputs, outputs, **options)


def _inputs4(width: int, outputs: int, tokens: int, nested: bool) -> tuple[Any, ...]:
    layer = _layer("Linear4bit", width, outputs, compress_statistics=nested, **NF4)
    return normal(2, tokens // 2, width), layer.to(DEVICE)


def _inputs_in_float() -> tuple[Any, ...]:
    layer = _layer("Linear4bit", 2048, 2048, bias=True, compute_dtype=torch.bfloat16)
    return normal(2, 1024, 2048, dtype=torch.float32), layer.to(DEVICE)


def _inputs8(dtype: torch.dtype, threshold: float, tokens: int) -> tuple[Any, ...]:
    layer = _layer("Linear8bitLt", 2048, 4096, threshold=threshold, **INT8)
    x = normal(2, tokens // 2, 2048, dtype=dtype, grad=False)
    x[..., 3] = 20.0  # a column of outliers
    return x.requires_grad_(), layer.to(DEVICE)


def _call(x: torch.Tensor, layer: Any) -> Any:
    return layer(x)


def _call_in_autocast(x: torch.Tensor, layer: Any) -> Any:
    with torch.autocast(DEVICE, torch.bfloat16):
        return layer(x)


def _loading(kind: str, **options: Any) -> Task:
    name = f"{kind}.to(cuda) from fp32 2048x8192"

    def measure() -> None:
        layer = _layer(kind, 2048, 8192, **options)
        _, peak, kept = peak_of(lambda: layer.to(DEVICE))
        emit(op="raw:load", case=name, measured=peak, kept=kept)

    return name, measure
