"""Make code on fake CPU tensors take the paths, and the temporaries, that it takes on CUDA."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F

from ftspec.compiler.memory.trace.attention import attention
from ftspec.compiler.memory.trace.autocast import cuda_autocast

ATEN = torch.ops.aten


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

    tokens, vocabulary = chunks or (head.TOKEN_CHUNK_SIZE, trl_utils._CHUNKED_LOGPROB_CHUNK_SIZE)

    with ExitStack() as stack:
        for target, name, new in (
            *cuda_autocast(),
            (F, "scaled_dot_product_attention", partial(attention, capability, backend)),
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
