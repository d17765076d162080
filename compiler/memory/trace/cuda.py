"""Make code on fake CPU tensors take the paths, and the temporaries, that it takes on CUDA."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F

from ftspec.compiler.memory.trace.autocast import cuda_autocast
from ftspec.compiler.memory.trace.workspaces import sdpa_backend

ATEN = torch.ops.aten
HALF = (torch.float16, torch.bfloat16)


@contextmanager
def as_on_cuda(
    capability: tuple[int, int],
    *,
    padded: bool,
    backend: str = "",
    chunks: tuple[int, int] | None = None,
) -> Iterator[None]:
    """Redirect what differs between CPU and CUDA; `padded`: some rows of a batch are shorter.

    backend: the attention kernel, if not the card's own choice; chunks: tokens and vocabulary of
    a tile of the fused loss, if not trl's.
    """
    import bitsandbytes as bnb
    import bitsandbytes.optim.optimizer as bnb_optimizer
    import transformers.masking_utils as masks
    import trl.kernels.chunked_logprob as head
    import trl.trainer.utils as trl_utils
    from torch.nn.utils import clip_grad
    from torch.optim import adam

    def attention(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        return _attention(capability, backend, query, key, value, *args, **kwargs)

    tokens, vocabulary = chunks or (head.TOKEN_CHUNK_SIZE, trl_utils._CHUNKED_LOGPROB_CHUNK_SIZE)

    with ExitStack() as stack:
        for target, name, new in (
            *cuda_autocast(),
            (F, "scaled_dot_product_attention", attention),
            (F, "dropout", _dropout),
            (F, "softmax", _softmax),
            (torch, "dropout", _dropout),
            # Code that is being traced by a compiler skips shortcuts; fake tensors look like that.
            (masks, "is_tracing", lambda *_: False),
            (masks, "fast_all", lambda mask: not padded),
            # The kernels of the fused loss work in place, on tiles that are made outside of them.
            (head, "_use_triton", lambda *_: True),
            (trl_utils, "_use_triton", lambda *_: True),
            (head, "TOKEN_CHUNK_SIZE", tokens),
            (trl_utils, "_CHUNKED_LOGPROB_CHUNK_SIZE", vocabulary),
            (head, "_forward_kernel", _Launch()),
            (head, "_backward_kernel", _Launch()),
            (head, "_addmm_fp32", lambda total, left, right: total.add_(1)),
            (head, "triton", mock.Mock(cdiv=lambda a, b: -(-a // b))),
            (bnb, "matmul", _matmul_8bit),
            (bnb.functional, "create_dynamic_map", _maps(bnb.functional)),
            (bnb.functional, "is_on_gpu", lambda *_: True),
            (bnb_optimizer.Optimizer8bit, "get_state_buffer", _state_buffer),
            (bnb.functional, "optimizer_update_8bit_blockwise", lambda *_, **__: None),
            (bnb.functional, "optimizer_update_32bit", lambda *_, **__: None),
            # Optimizer and clipping: lists of tensors at once, as on CUDA.
            (adam, "_default_to_fused_or_foreach", lambda *_, **__: (False, True)),
            (clip_grad, "_has_foreach_support", lambda *_: True),
        ):
            stack.enter_context(mock.patch.object(target, name, new, create=True))
        yield


class _Launch:
    """A Triton kernel that does nothing: `kernel[grid](arguments)`."""

    def __getitem__(self, grid: object) -> Any:
        return lambda *args, **kwargs: None


def _attention(
    capability: tuple[int, int],
    backend: str,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """Dispatch as CUDA's scaled_dot_product_attention does (ATen transformers/attention.cpp)."""
    if torch.is_autocast_enabled("cpu"):
        low = torch.get_autocast_dtype("cpu")
        query, key, value = query.to(low), key.to(low), value.to(low)
        if attn_mask is not None and attn_mask.is_floating_point():
            attn_mask = attn_mask.to(low)
    dtype = str(query.dtype).removeprefix("torch.")
    grouped = enable_gqa and key.shape[1] != query.shape[1]
    backend = backend or sdpa_backend(
        capability,
        dtype,
        query.shape[-1],
        attn_mask is not None,
        is_causal,
        dropout_p,
        gqa=grouped,
    )
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        # convert_boolean_attn_mask (ATen transformers/attention.cpp): an additive mask.
        low_end = torch.scalar_tensor(float("-inf"), dtype=query.dtype)
        attn_mask = torch.where(attn_mask, 0.0, low_end)
    learns = torch.is_grad_enabled() and any(t.requires_grad for t in (query, key, value))
    if backend == "flash":
        return _flash(query, key, value, dropout_p, is_causal, scale)
    if backend == "efficient":
        if attn_mask is not None:
            attn_mask = _aligned(attn_mask).expand(
                query.shape[0], query.shape[1], query.shape[2], key.shape[2]
            )
        out = ATEN._scaled_dot_product_efficient_attention(
            query, key, value, attn_mask, learns, dropout_p, is_causal, scale=scale
        )
        return out[0]
    if backend == "cudnn":
        out = ATEN._scaled_dot_product_cudnn_attention(
            query, key, value, attn_mask, learns, dropout_p, is_causal, scale=scale
        )
        return out[0]
    return ATEN._scaled_dot_product_attention_math(
        query,
        key,
        value,
        attn_mask,
        dropout_p,
        is_causal,
        None,
        scale=scale,
        enable_gqa=grouped,
    )[0]


def _flash(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    dropout_p: float,
    is_causal: bool,
    scale: float | None,
) -> torch.Tensor:
    """Pad the head to a multiple of eight, as `pad_last_dim<8>` does, and slice it again."""
    width = query.shape[-1]
    scale = width**-0.5 if scale is None else scale
    if width % 8:
        query, key, value = (F.pad(one, [0, 8 - width % 8]) for one in (query, key, value))
    out = ATEN._scaled_dot_product_flash_attention(
        query, key, value, dropout_p, is_causal, scale=scale
    )[0]
    return out[..., :width] if width % 8 else out


def _aligned(mask: torch.Tensor) -> torch.Tensor:
    """Pad a mask's rows to a multiple of eight keys (ATen attention.cpp, preprocess_mask)."""
    length = mask.shape[-1]
    if length % 8 == 0:
        return mask
    return F.pad(mask, [0, 8 - length % 8])[..., :length]


def _dropout(
    input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> torch.Tensor:
    """CUDA keeps a boolean mask (native_dropout); the CPU a float one."""
    if not training or p == 0.0:
        return input
    return ATEN.native_dropout(input, p, True)[0]


_SOFTMAX = F.softmax


def _softmax(
    input: torch.Tensor,
    dim: int | None = None,
    _stacklevel: int = 3,
    dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """Cast float16 inside the softmax as CUDA does (half_to_float, ATen SoftMax.cpp)."""
    if dtype == torch.float32 and input.dtype == torch.float16:
        return ATEN._softmax(input, dim, True)
    return _SOFTMAX(input, dim=dim, dtype=dtype)


def _maps(functional: Any) -> Any:
    """Make bitsandbytes' tables while tensors still have contents."""
    made = {signed: functional.create_dynamic_map(signed=signed) for signed in (True, False)}

    def create(signed: bool = True, *_: Any, **__: Any) -> torch.Tensor:
        return made[signed]

    return create


def _state_buffer(optimizer: Any, p: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Leave paged states out: they are managed memory, not the allocator's."""
    if optimizer.is_paged and p.numel() >= 1e5:
        return torch.empty(0, dtype=dtype)
    return torch.zeros_like(p, dtype=dtype)


def _matmul_8bit(
    a: torch.Tensor,
    b: torch.Tensor,
    out: torch.Tensor | None = None,
    state: Any = None,
    threshold: float = 0.0,
    bias: torch.Tensor | None = None,
) -> Any:
    """Take CUDA's path in training too (bitsandbytes 0.50, autograd/_functions.py matmul)."""
    from bitsandbytes.autograd._functions import MatMul8bitLt

    return MatMul8bitLt.apply(a, b, out, bias, state)
