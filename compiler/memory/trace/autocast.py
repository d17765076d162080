"""Cast as CUDA's autocast does, where the CPU's has another list of operations.

Source: torch 2.11 to 2.13, aten/src/ATen/autocast_mode.h, AT_FORALL_FP32 and
AT_FORALL_FP32_SET_OPT_DTYPE.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F

HALF = (torch.float16, torch.bfloat16)
# Computed in float32: their half-precision arguments are cast. `square` is made of `pow`.
IN_FLOAT32 = (
    "acos asin cosh erfinv exp expm1 log log10 log2 log1p reciprocal rsqrt sinh tan pow "
    "__pow__ __rpow__ square softplus layer_norm group_norm norm cosine_similarity nll_loss "
    "cross_entropy kl_div l1_loss mse_loss dist cdist renorm logsumexp"
).split()
# Computed in float32 by a dtype of their own, unless one is given.
WITH_DTYPE = "softmax log_softmax cumsum cumprod prod sum".split()


def cuda_autocast() -> Iterator[tuple[Any, str, Any]]:
    """Yield (owner, name, function) of what has to be replaced."""
    for names, wrap in ((IN_FLOAT32, _in_float32), (WITH_DTYPE, _with_dtype)):
        for owner in (torch, torch.Tensor, F):
            for name in names:
                function = getattr(owner, name, None)
                if callable(function) and (owner is not F or name in ("cross_entropy", "softplus")):
                    yield owner, name, wrap(function)


def _on() -> bool:
    return torch.is_autocast_enabled("cpu")


def _in_float32(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def cast(*args: Any, **kwargs: Any) -> Any:
        if _on():
            args = tuple(_wide(one) for one in args)
            kwargs = {name: _wide(one) for name, one in kwargs.items()}
        return function(*args, **kwargs)

    return cast


def _with_dtype(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def cast(*args: Any, **kwargs: Any) -> Any:
        half = bool(args) and isinstance(args[0], torch.Tensor) and args[0].dtype in HALF
        if half and _on() and "dtype" not in kwargs:
            kwargs["dtype"] = torch.float32
        return function(*args, **kwargs)

    return cast


def _wide(value: Any) -> Any:
    return value.float() if isinstance(value, torch.Tensor) and value.dtype in HALF else value
