"""Dispatch scaled_dot_product_attention on fake CPU tensors as torch does on CUDA.

Source: PyTorch 2.11 to 2.13, aten/src/ATen/native/transformers/attention.cpp. Which kernel is
taken, and what it allocates inside: `attention_kernels.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from ftspec.compiler.memory.trace.attention_kernels import sdpa_backend
from ftspec.compiler.memory.trace.cards import Capability

ATEN = torch.ops.aten
HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class _Asked:
    """What a kernel is given; mask: additive. grouped: key and value have heads for several."""

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    mask: torch.Tensor | None
    dropout: float
    is_causal: bool
    scale: float | None
    grouped: bool

    @property
    def learns(self) -> bool:
        """Whether the backward needs the sums of the scores (should_compute_logsumexp)."""
        given = (self.query, self.key, self.value)
        return torch.is_grad_enabled() and any(one.requires_grad for one in given)


def attention(
    capability: Capability,
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
    """Attend with the kernel that a card takes, or, where it could, with `backend`, if not "".

    The other arguments and the result are scaled_dot_product_attention's.
    """
    if torch.is_autocast_enabled("cpu"):
        low = torch.get_autocast_dtype("cpu")
        query, key, value = query.to(low), key.to(low), value.to(low)
        if attn_mask is not None and attn_mask.is_floating_point():
            attn_mask = attn_mask.to(low)
    fewer = not query.shape[1] == key.shape[1] == value.shape[1]
    kernel = sdpa_backend(
        capability,
        str(query.dtype).removeprefix("torch."),
        query.shape[-1],
        attn_mask is not None,
        is_causal,
        dropout_p,
        gqa=fewer and enable_gqa,
        broadcast=fewer and not enable_gqa,
    )
    kernel = kernel if kernel == "math" else backend or kernel
    mask = _additive(attn_mask, query.dtype)
    asked = _Asked(query, key, value, mask, dropout_p, is_causal, scale, fewer and enable_gqa)
    with torch.autocast("cpu", enabled=False):  # as inside of all that autocast casts for
        return _KERNELS[kernel](asked)


def _additive(mask: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor | None:
    """Make an additive mask of a boolean one (convert_boolean_attn_mask)."""
    if mask is None or mask.dtype != torch.bool:
        return mask
    return torch.where(mask, 0.0, torch.scalar_tensor(float("-inf"), dtype=dtype))


def _flash(asked: _Asked) -> Any:
    """Pad the head to a multiple of eight, as `pad_last_dim<8>` does, and slice it again."""
    query, key, value = asked.query, asked.key, asked.value
    width = query.shape[-1]
    scale = width**-0.5 if asked.scale is None else asked.scale
    if width % 8:
        query, key, value = (F.pad(one, [0, 8 - width % 8]) for one in (query, key, value))
    out = ATEN._scaled_dot_product_flash_attention(
        query, key, value, asked.dropout, asked.is_causal, scale=scale
    )[0]
    return out[..., :width] if width % 8 else out


def _efficient(asked: _Asked) -> Any:
    query, key, value, mask = asked.query, asked.key, asked.value, asked.mask
    if mask is not None:
        mask = _aligned(mask).expand(*query.shape[:3], key.shape[2])
    return ATEN._scaled_dot_product_efficient_attention(
        query, key, value, mask, asked.learns, asked.dropout, asked.is_causal, scale=asked.scale
    )[0]


def _aligned(mask: torch.Tensor) -> torch.Tensor:
    """Pad a mask's rows to a multiple of eight keys (preprocess_mask)."""
    length = mask.shape[-1]
    if length % 8 == 0:
        return mask
    return F.pad(mask, [0, 8 - length % 8])[..., :length]


def _cudnn(asked: _Asked) -> Any:
    query, key, value, mask = asked.query, asked.key, asked.value, asked.mask
    return ATEN._scaled_dot_product_cudnn_attention(
        query, key, value, mask, asked.learns, asked.dropout, asked.is_causal, scale=asked.scale
    )[0]


def _math(asked: _Asked) -> Any:
    """Multiply, softmax, multiply, in float32 (_scaled_dot_product_attention_math).

    A transcript: ATen's own adds the mask to a copy where tensors are fake. Its locals live to
    its end, as these do. Heads are repeated for grouped attention alone
    (pre_process_group_query_attention_input); otherwise `matmul` broadcasts them.
    """
    wide_query, wide_key, wide_value = _wide(asked.query), _wide(asked.key), _wide(asked.value)
    width, heads = asked.query.shape[-1], asked.query.shape[1]
    root = (width**-0.5 if asked.scale is None else asked.scale) ** 0.5
    query, key, value, mask = wide_query * root, wide_key, wide_value, asked.mask
    if asked.is_causal:
        mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool).tril()
        mask = _additive(mask, query.dtype)
    if asked.grouped:
        key = key.repeat_interleave(heads // key.shape[1], dim=1)
        value = value.repeat_interleave(heads // value.shape[1], dim=1)
    scores = torch.matmul(query, key.transpose(-2, -1) * root)
    if mask is not None:
        scores.add_(mask)
    scores = ATEN._safe_softmax(scores, -1)
    if asked.dropout > 0.0:
        scores = ATEN.native_dropout(scores, asked.dropout, True)[0]
    return torch.matmul(scores, value).to(asked.query.dtype)


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    """Widen halves, as torch does unless allow_fp16_bf16_reduction_math_sdp is on."""
    return tensor.float() if tensor.dtype in HALF else tensor


_KERNELS: Mapping[str, Callable[[_Asked], Any]] = {
    "flash": _flash,
    "efficient": _efficient,
    "cudnn": _cudnn,
    "math": _math,
}
