"""Which attention kernel CUDA takes, and what it allocates inside.

Sources: PyTorch 2.11 to 2.13, aten/src/ATen/native/transformers/cuda (sdp_utils.cpp, attention.cu,
attention_backward.cu, flash_attn/flash_api.cpp, mem_eff_attention).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, prod
from typing import Any

from ftspec.compiler.memory.trace.cards import Capability, multiprocessors

HALF = ("float16", "bfloat16")
CUDNN_FIRST = (9, 15, 1)  # check_prefer_cudnn_attention


def sdpa_backend(
    capability: Capability,
    dtype: str,
    head_dim: int,
    has_mask: bool,
    is_causal: bool,
    dropout: float,
    *,
    gqa: bool = False,
    broadcast: bool = False,
    cudnn: tuple[int, int, int] = (9, 19, 0),
) -> str:
    """Return the kernel that scaled_dot_product_attention takes when it trains.

    "flash", "efficient", "cudnn" or "math". `gqa`: key and value have fewer heads than the query,
    and enable_gqa says so; `broadcast`: they have, and it does not, so that one head of theirs
    stands for all. aten/src/ATen/native/transformers/cuda/sdp_utils.cpp, select_sdp_backend: cuDNN
    comes first on sm90 and sm100 from cuDNN 9.15.1 on; the efficient kernel knows no grouped
    heads, and no fused one broadcasts them (sdp_utils_cpp.h,
    check_batch_size_and_num_heads_dense; releases after 2.13 may).
    """
    if broadcast:
        return "math"
    version = (capability[0], capability[1])
    half = dtype in HALF and (version >= (8, 0) or dtype == "float16")
    if version in ((9, 0), (10, 0)) and cudnn >= CUDNN_FIRST and half and head_dim % 8 == 0:
        if head_dim <= (256 if version == (9, 0) else 128):
            return "cudnn"
    consumer = version in ((8, 6), (8, 9), (12, 0), (12, 1))
    too_wide = consumer and (192 < head_dim <= 224 or (head_dim > 224 and dropout > 0.0))
    flash = version >= (8, 0) and half and not has_mask and head_dim <= 256
    if flash and not too_wide:
        return "flash"
    aligned = head_dim % (8 if dtype in HALF and version >= (7, 0) else 4) == 0
    if aligned and not gqa and (half or dtype == "float32"):
        return "efficient"
    return "math"


CUDNN_EXTRA = 256  # bytes of a plan, beside what the graph names


def _up(size: int, to: int) -> int:
    return -(-size // to) * to


def _dtype(tensor: Any) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _splits(rows: int, blocks: int, capability: Capability) -> int:
    """Return how many parts flash attention cuts the keys into (num_splits_heuristic)."""
    slots = multiprocessors(capability) * 2
    if rows >= 0.8 * slots:
        return 1
    parts = range(1, min(128, slots, blocks) + 1)
    fair = [n for n in parts if n == 1 or ceil(blocks / n) != ceil(blocks / (n - 1))]
    share = {n: (rows * n / slots) / ceil(rows * n / slots) for n in fair}
    best = max(share.values())
    return next(n for n in fair if share[n] >= 0.85 * best)


def flash_forward(
    args: Sequence[Any], kwargs: Mapping[str, Any], out: Any, capability: Capability
) -> list[int]:
    """Partial results where few rows leave multiprocessors idle.

    transformers/cuda/flash_attn/flash_api.cpp, set_params_splitkv: lse and out a split, float32.
    """
    query, key = args[0], args[1]
    batch, heads, length, width = query.shape
    if args[3] if len(args) > 3 else kwargs.get("dropout_p"):
        return []
    block = 256 if width <= 64 else 128 if width <= 128 else 64
    blocks = ceil(key.shape[2] / block)
    splits = _splits(batch * heads * ceil(length / 64), blocks, capability)
    if splits == 1:
        return []
    lse = 4 * splits * batch * heads * length
    return [lse, lse * _up(width, 32 if width <= 128 else 64)]


def flash_backward(
    args: Sequence[Any], kwargs: Mapping[str, Any], out: Any, capability: Capability
) -> list[int]:
    """A float32 query gradient, softmax sums, and key and value gradients of every head.

    flash_api.cpp, mha_bwd, with use_deterministic_algorithms off.
    """
    query, key = args[1], args[2]
    batch, heads, length, width = query.shape
    sums = 4 * batch * heads * _up(length, 128)
    blocks = [sums, sums * _up(width, 32 if width <= 128 else 64)]
    if key.shape[1] != heads:
        blocks += [2 * batch * heads * key.shape[2] * width] * 2
    return blocks


def efficient_forward(
    args: Sequence[Any], kwargs: Mapping[str, Any], out: Any, capability: Capability
) -> list[int]:
    """A float32 result where the head is wider than 128.

    mem_eff_attention/kernel_forward.h, kNeedsOutputAccumulatorBuffer; attention.cu.
    """
    query, value = args[0], args[2]
    if value.shape[-1] <= 128 or query.element_size() == 4:
        return []
    return [4 * prod(query.shape[:3]) * value.shape[-1]]


def _efficient_tile(dtype: str, width: int, capability: Capability) -> tuple[int, int, bool]:
    """Return the backward kernel's queries and keys a block, and whether it sums in registers.

    The first of mem_eff_attention/kernels/cutlassB.h whose shared memory the card has: 64 KiB on
    sm75, 99 KiB on sm86, sm89 and sm120, at least 163 KiB on sm80, sm90 and sm100.
    """
    version = (capability[0], capability[1])
    roomy = capability[0] in (9, 10) or version == (8, 0)
    if dtype == "float32":
        return (128 if roomy and width > 64 else 64), 64, True
    if width <= 64:
        return 64, 64, True
    if width > 128:
        return 128, 64, False
    if version < (8, 0):
        return 128, 64, True
    if roomy:
        return 128, 128, True
    if width <= 96 and version in ((8, 6), (8, 9)):
        return 128, 64, True
    return 64, 64, False


def efficient_backward(
    args: Sequence[Any], kwargs: Mapping[str, Any], out: Any, capability: Capability
) -> list[int]:
    """The sums of gradient times result, and tiles of float32 gradients.

    attention_backward.cu, _efficient_attention_backward; kernel_backward.h, workspace_size.
    """
    query, key = args[1], args[2]
    batch, heads, length, width = query.shape
    dtype = _dtype(query)
    rows, columns, in_registers = _efficient_tile(dtype, width, capability)
    tiles = ceil(length / rows) * ceil(width / columns)
    each = tiles * (rows * columns + 4)
    if not in_registers:
        splits = max(1, min(ceil(key.shape[2] / columns), 200 // (batch * heads)))
        each += 2 * splits * columns * _up(width, rows)
    return [4 * batch * heads * length, 4 * batch * heads * _up(each, 4)]


def cudnn_forward(
    args: Sequence[Any], kwargs: Mapping[str, Any], out: Any, capability: Capability
) -> list[int]:
    """The plan's own bytes (measured on an H200, cuDNN 9.19)."""
    return [CUDNN_EXTRA]


def cudnn_backward(
    args: Sequence[Any], kwargs: Mapping[str, Any], out: Any, capability: Capability
) -> list[int]:
    """One block: a float32 query gradient and softmax sums, and gradients of every head.

    cudnn/MHA.cpp, run_cudnn_SDP_bprop: the graph's get_workspace_size. Its first part is in
    cudnn-frontend, node/scaled_dot_product_flash_attention.h (dQ_accum, softmax_sum); with
    grouped heads the graph has dK_fullhead and dV_fullhead too. The rest is as measured on an
    H200, cuDNN 9.19: exact for 16 shapes.
    """
    query, key = args[1], args[2]
    batch, heads, length, width = query.shape
    size = 4 * batch * heads * length * (width + 1)
    if key.shape[1] != heads:
        size += 2 * 2 * batch * heads * key.shape[2] * width
    return [size + CUDNN_EXTRA]
