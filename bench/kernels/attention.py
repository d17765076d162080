"""Attention: which kernel torch takes, and what the kernels hold inside."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from meter import DEVICE, Task, capability, case, emit, name_of, normal
from torch.nn.attention import SDPBackend, sdpa_kernel

from ftspec.compiler.memory.trace.workspaces import sdpa_backend

Shape = tuple[int, int, int, int, int]  # rows, heads, heads of key and value, tokens, head's width

BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "math": SDPBackend.MATH,
}
# What torch._fused_sdp_choice returns (aten/src/ATen/SDPBackend.h).
CHOICES = {-1: "error", 0: "math", 1: "flash", 2: "efficient", 3: "cudnn"}


def attention_default() -> Iterator[Task]:
    """Attention with the kernel that torch chooses."""
    wide, many = (2, 16, 16, 1024, 128), (2, 8, 8, 777, 256)
    half, whole = torch.float16, torch.float32
    yield from sdpa("bf16 d128 s1024 causal", wide, kernels=True)
    yield from sdpa("bf16 d128 s1024 causal gqa4", (2, 16, 4, 1024, 128), kernels=True)
    yield from sdpa("bf16 d128 s1024 bool mask", wide, mask="bool", kernels=True)
    yield from sdpa("bf16 d128 s1000 add mask", (2, 16, 16, 1000, 128), mask="add", kernels=True)
    yield from sdpa("fp32 d64 s1024 causal", (2, 16, 16, 1024, 64), whole, kernels=True)
    yield from sdpa("bf16 d256 s1024 causal", (2, 8, 8, 1024, 256), kernels=True)
    for width in (64, 80, 96, 192, 72, 100):
        yield from sdpa(f"bf16 d{width} s777 causal", (2, 8, 8, 777, width))
    yield from sdpa("fp16 d64 s512 causal dropout", (2, 8, 8, 512, 64), half, dropout=0.1)
    yield from sdpa("fp32 d64 s1000 bool mask", (2, 8, 8, 1000, 64), whole, mask="bool")
    yield from sdpa("bf16 d256 s777 bool mask", many, mask="bool")
    yield from sdpa("bf16 d128 s777 bool mask gqa", (2, 8, 2, 777, 128), mask="bool")


FORCED: tuple[Shape, ...] = (
    (1, 8, 8, 512, 128),
    (4, 32, 8, 2048, 128),
    (2, 8, 8, 1000, 64),
    (2, 8, 8, 1000, 96),
    (1, 8, 8, 1024, 80),
    (1, 4, 4, 1024, 192),
    (1, 8, 4, 1024, 256),
    (1, 32, 32, 4096, 64),
    (1, 2, 2, 8192, 128),
)


def attention_forced() -> Iterator[Task]:
    """Attention with each kernel in turn; the efficient one knows no grouped heads."""
    for kernel in ("cudnn", "flash", "efficient"):
        for rows, heads, groups, tokens, width in FORCED:
            groups = heads if kernel == "efficient" else groups
            name = f"{kernel} bf16 B{rows} H{heads}/{groups} S{tokens} d{width}"
            yield from sdpa(name, (rows, heads, groups, tokens, width), backend=kernel)
        if kernel != "flash":  # which takes no mask
            wide, odd = (2, 8, 8, 1000, 128), (2, 8, 8, 1001, 64)
            name = f"{kernel} bf16 bool mask"
            yield from sdpa(f"{name} S1000 d128", wide, mask="bool", backend=kernel)
            yield from sdpa(f"{name} S1001 d64", odd, mask="bool", backend=kernel)
            yield from sdpa(f"{kernel} bf16 add mask S1001 d64", odd, mask="add", backend=kernel)
        name, shape = f"{kernel} fp16 S512 d128 dropout", (2, 8, 8, 512, 128)
        yield from sdpa(name, shape, torch.float16, dropout=0.1, backend=kernel)
        name = f"{kernel} bf16 S1 d128"
        yield from sdpa(name, (2, 8, 8, 1, 128), causal=False, backend=kernel)
        yield from sdpa(f"{kernel} bf16 S16 d128", (1, 8, 8, 16, 128), backend=kernel)
    for tokens in (512, 1000, 1024):
        name, shape = f"efficient fp32 S{tokens} d128", (2, 8, 8, tokens, 128)
        yield from sdpa(name, shape, torch.float32, backend="efficient")
    yield from sdpa("math bf16 d128", (2, 8, 8, 512, 128), backend="math")


def sdpa(
    name: str,
    shape: Shape,
    dtype: torch.dtype = torch.bfloat16,
    *,
    mask: str | None = None,
    causal: bool = True,
    dropout: float = 0.0,
    backend: str | None = None,
    kernels: bool = False,
) -> Iterator[Task]:
    """Make two tasks: which kernel is taken, and what it takes; a mask stands for `causal`."""
    causal = causal and mask is None
    grouped = shape[1] != shape[2]

    def choose() -> None:
        q, k, v, m = inputs(shape, dtype, mask)
        with forced(backend):
            choice = torch._fused_sdp_choice(q, k, v, m, dropout, causal, enable_gqa=grouped)
        row: dict[str, Any] = {"measured": CHOICES.get(choice, choice)}
        if backend is None:
            row["predicted"] = sdpa_backend(
                capability(), name_of(dtype), shape[-1], m is not None, causal, dropout, gqa=grouped
            )
            row["equal"] = row["measured"] == row["predicted"]
        emit(op="sdpa_backend", case=name, **row)

    def attend(q: Any, k: Any, v: Any, m: Any) -> torch.Tensor:
        with forced(backend):
            out = F.scaled_dot_product_attention(
                q, k, v, attn_mask=m, dropout_p=dropout, is_causal=causal, enable_gqa=grouped
            )
            return out.transpose(1, 2).reshape(q.shape[0], q.shape[2], -1)

    yield name, choose
    yield case(f"sdpa {name}", lambda: inputs(shape, dtype, mask), attend, kernels=kernels)


def forced(backend: str | None) -> contextlib.AbstractContextManager[Any]:
    """Allow one kernel alone; None: torch chooses."""
    return contextlib.nullcontext() if backend is None else sdpa_kernel(BACKENDS[backend])


def inputs(shape: Shape, dtype: torch.dtype, mask: str | None) -> tuple[Any, ...]:
    """Make query, key, value (as a model's projections give them) and the mask, if any.

    "bool": causal, with a row that is padded on the left; "add": zeros in the query's dtype.
    """
    rows, heads, groups, tokens, width = shape

    def projection(count: int) -> torch.Tensor:
        flat = normal(rows, tokens, count * width, dtype=dtype, grad=False)
        return flat.view(rows, tokens, count, width).transpose(1, 2).requires_grad_()

    return projection(heads), projection(groups), projection(groups), _mask(shape, dtype, mask)


def _mask(shape: Shape, dtype: torch.dtype, mask: str | None) -> torch.Tensor | None:
    size = (shape[0], 1, shape[3], shape[3])
    if mask == "add":
        return torch.zeros(size, device=DEVICE, dtype=dtype)
    if mask is None:
        return None
    allowed = torch.ones(size, device=DEVICE, dtype=torch.bool).tril()
    allowed[-1, :, :, :5] = False
    allowed[:, :, :, 0] = True  # no query without a key
    return allowed
