"""What bitsandbytes 0.50's CUDA kernels allocate inside an operation.

Its fake versions say the result's shape only. Sources: bitsandbytes `backends/cuda/ops.py` and
`backends/default/ops.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

FUSED_ALWAYS = 4  # _GEMM_4BIT_CUSTOM_FLOOR_M
FUSED_TOKENS = 1536  # _gemm_4bit_custom_max_m
SMALL_WEIGHT = 4 * 2**20


def _get(args: Sequence[Any], kwargs: Mapping[str, Any], at: int, name: str) -> Any:
    return args[at] if len(args) > at else kwargs.get(name)


def _dtype(tensor: Any) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def fused_4bit(capability: Sequence[int], sms: int, dtype: str, m: int, n: int, k: int) -> bool:
    """Say whether gemm_4bit multiplies without dequantizing the weight.

    m tokens, n outputs, k inputs (`_gemm_4bit_use_custom_cuda`, block size dividing k).
    """
    if m > FUSED_TOKENS:
        return False
    if m <= FUSED_ALWAYS:
        return True
    version, major = (capability[0], capability[1]), capability[0]
    blocks = (n + 63) // 64
    if dtype == "float32" or major < 7 or (major == 7 and (version < (7, 5) or dtype != "float16")):
        return m < 8
    if version == (8, 7) or major == 11:
        return False
    if major == 10:
        return m <= 32 if blocks >= sms * 3 else blocks >= sms and k < n and m <= 8
    if n * k < SMALL_WEIGHT:
        return m <= _small_weight(version, sms, m, n, k, blocks)
    if m > 512:
        return False
    if m < 8:
        return _few_tokens(version, sms, m, n, k, blocks)
    return m <= _most_tokens(version, sms, n, k, blocks)


def _small_weight(version: tuple[int, int], sms: int, m: int, n: int, k: int, blocks: int) -> int:
    """Return up to how many tokens the fused kernel runs, for n x k below 4 Mi elements."""
    bandwidth = version == (8, 0) or version[0] == 9
    if k * 2 < n:
        if bandwidth:
            low = blocks * 3 < sms
            return (1536 if low else 512) if version == (8, 0) else (512 if low else 320)
        if version == (7, 5):
            if blocks >= sms * 3:
                return 320
            return 64 if k >= 1024 else 96 if k >= 704 else 320
        return 320 if blocks >= sms or blocks * k <= sms * 320 else 192
    quarter = blocks * 4 <= sms
    if version == (8, 0) and quarter:
        return 384 if k < n else 32 if blocks * 8 <= sms else 128
    if version == (7, 5) and blocks < sms and m > 8:
        return 64
    if quarter:
        return 32 if k < n or bandwidth else 23
    return 16 if blocks * 2 <= sms else 0


def _few_tokens(version: tuple[int, int], sms: int, m: int, n: int, k: int, blocks: int) -> bool:
    """Say whether five to seven tokens run fused."""
    hopper = version[0] == 9
    if not (hopper or version == (8, 0)) or m < 6 or blocks < (36 if hopper else 48):
        return True
    below75, below60 = blocks * 4 < sms * 3, blocks * 5 < sms * 3
    if k > n and below75:
        return False
    if k == n:
        return not (below60 if version == (8, 0) else below75 and not below60)
    return True


def _most_tokens(version: tuple[int, int], sms: int, n: int, k: int, blocks: int) -> int:
    """Return up to how many tokens (8 to 512) the fused kernel runs."""
    tall, half = k > n * 2, blocks >= sms // 2
    if version == (7, 5):
        return (128 if k < n else 64) if blocks >= sms * 3 else 64 if half else 32
    if version == (8, 0):
        return _ampere(sms, n, k, blocks)
    if version == (8, 6):
        return 128 if blocks >= sms else 64 if half else 16
    if version[0] == 9:
        for waves, most in ((3, 64), (2, 48), (1, 32)):
            if blocks >= sms * waves:
                return most
        return 0 if not half or (k >= n and blocks * 4 < sms * 3) else 16
    if version == (12, 1) and blocks >= sms:
        return 256
    if blocks >= sms * 2:
        return 256 if blocks >= sms * 3 else 128
    near = blocks * 5 >= sms * 4
    if version == (12, 0):
        if near:
            return 96 if k >= n else 64
        if half:
            return 64 if k * 2 >= n and blocks >= 128 else 8
        return 16 if tall and blocks > 64 else 8
    if near:
        if tall or blocks >= 200:
            return 128
        return (128 if sms >= 60 else 32) if k >= n else 64
    if half:
        return 64 if tall else 8 if blocks >= 64 else 32
    if k > n and blocks <= 48:
        return 12 if k >= n * 3 else 10
    return 16 if tall or blocks < 48 else 8


def _ampere(sms: int, n: int, k: int, blocks: int) -> int:
    if blocks >= sms:
        return 128 if blocks >= sms * 3 else 64 if k < n else 32
    if k >= n * 3 and blocks * 4 > sms:
        return 0
    if k == n and blocks >= 48 and blocks * 5 < sms * 3:
        return 0
    if blocks * 2 < sms:
        if k <= n:
            return 128
        if blocks * 3 >= sms:
            return 0
    return 128 if blocks >= sms // 2 and k < n else 16


def gemm_4bit(
    args: Sequence[Any], kwargs: Mapping[str, Any], capability: Sequence[int], sms: int
) -> list[int]:
    """The dequantized weight, and both float32 copies of nested block maxima.

    `_dequant_linear_fallback`; nothing where the fused kernel runs.
    """
    tokens, shape, block = args[0], args[2], _get(args, kwargs, 4, "blocksize")
    k = tokens.shape[-1]
    m, n = tokens.numel() // k, shape[0]
    if k % block == 0 and fused_4bit(capability, sms, _dtype(tokens), m, n, k):
        return []
    nested = _get(args, kwargs, 7, "absmax_8bit")
    maxima = [] if nested is None else [4 * nested.numel()] * 2
    return [*maxima, tokens.element_size() * n * k]


def int8_quantize(args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[int]:
    """Magnitudes and outlier mask of the activations (`int8_vectorwise_quant`)."""
    x = args[0]
    return [2 * x.numel(), x.numel()] if _get(args, kwargs, 1, "threshold") else []


def int8_product(out: Any) -> list[int]:
    """The int32 product, and its float16 copy where the result is not float16.

    `int8_scaled_mm`; `int8_mixed_scaled_mm` adds the outliers' columns, which are few.
    """
    return [4 * out.numel(), *([] if _dtype(out) == "float16" else [2 * out.numel()])]


def int8_dequantize(out: Any) -> list[int]:
    """The float16 result before it is cast (`int8_mm_dequant`)."""
    return [] if _dtype(out) == "float16" else [2 * out.numel()]
