"""What CUDA kernels allocate inside an operation, which no trace on fake tensors can see.

Each function takes an operation's arguments, its result and the card's compute capability, and
returns the bytes of the temporary blocks that are alive with the result at the operation's peak.
Blocks that are gone before the result is made are left out where the result is the larger.
Sources are PyTorch 2.11 to 2.13 (`aten/src/ATen/native/...`) and bitsandbytes 0.50. No torch here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil, prod
from typing import Any

from ftspec.compiler.memory.trace import quantized_kernels as quantized
from ftspec.compiler.memory.trace.attention_kernels import (
    cudnn_backward,
    cudnn_forward,
    efficient_backward,
    efficient_forward,
    flash_backward,
    flash_forward,
)
from ftspec.compiler.memory.trace.attention_kernels import sdpa_backend as sdpa_backend
from ftspec.compiler.memory.trace.cards import Capability, multiprocessors, threads
from ftspec.compiler.memory.trace.reductions import Card, blocks_of_reduction

Args = Sequence[Any]
Kwargs = Mapping[str, Any]
Workspace = Callable[[Args, Kwargs, Any, Capability], list[int]]

MIB = 2**20


def cublas_workspace(capability: Capability) -> int:
    """Return cuBLAS's workspace in bytes, one for each thread and stream that multiplies.

    aten/src/ATen/cuda/CublasHandlePool.cpp, parseChosenWorkspaceSize: 4096 KiB x 8 on Hopper and
    Blackwell, else :4096:2:16:8.
    """
    large = capability[0] in (9, 10, 12)
    return 4096 * 8 * 1024 if large else (4096 * 2 + 16 * 8) * 1024


def cublaslt_workspace(torch: tuple[int, int] = (2, 13)) -> int:
    """Return cuBLASLt's own workspace in bytes: a thread's first `addmm` with a bias makes it.

    CublasHandlePool.cpp, getCUDABlasLtWorkspace: since 2.12 it is cuBLAS's block, before 1 MiB.
    """
    return 0 if torch >= (2, 12) else MIB


# Operations that allocate inside at some sizes and at others not: how many blocks at most.
SOMETIMES: Mapping[str, int] = {
    "aten::_scaled_dot_product_flash_attention": 2,
    "aten::_scaled_dot_product_efficient_attention": 1,
    "aten::embedding_dense_backward": 9,
    "aten::native_layer_norm_backward": 2,
    "aten::_fused_rms_norm_backward": 1,
    "aten::sum": 2,
    "aten::mean": 2,
    "aten::amax": 2,
    "aten::amin": 2,
}


def _dtype(tensor: Any) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _get(args: Args, kwargs: Kwargs, at: int, name: str) -> Any:
    return args[at] if len(args) > at else kwargs.get(name)


def _card(capability: Capability) -> Card:
    return Card(multiprocessors(capability), threads(capability))


def embedding_backward(args: Args, kwargs: Kwargs, out: Any, capability: Capability) -> list[int]:
    """Sorted positions and partial sums of rows, from 3073 tokens on.

    cuda/Embedding.cu, embedding_dense_backward_cuda; cuda/EmbeddingBackwardKernel.cu: a partial
    sum is of at most ten rows, float32.
    """
    grad, indices, rows = args[0], args[1], args[2]
    count, word = indices.numel(), indices.element_size()
    if count <= 3072:
        return []
    segments = min(count, rows)
    partial = count // 10 + segments
    index = [word * count] * 3 + [8, 8] + [word * segments] * 2 + [word * partial]
    return [*index, 4 * partial * grad.shape[-1]]


def _norm_backward(args: Args, parts: int, capability: Capability) -> list[int]:
    """Partial gradients of scale and shift, for very many short rows only.

    cuda/layer_norm_kernel.cu, LaunchGammaBetaBackwardCUDAKernel.
    """
    x, width = args[1], prod(args[2])
    rows = x.numel() // width
    if rows <= 64 * 1024 or width // 32 >= multiprocessors(capability) // 2:
        return []
    blocks = min(64 * 1024 // 2 // ceil(width / 32), ceil(rows / 32))
    return [x.element_size() * blocks * width] * parts


def layer_norm_backward(args: Args, kwargs: Kwargs, out: Any, capability: Capability) -> list[int]:
    """Partial gradients of scale and shift (see `_norm_backward`)."""
    wanted = _get(args, kwargs, 7, "output_mask") or (True, True, True)
    return _norm_backward(args, sum(wanted[1:]), capability)


def rms_norm_backward(args: Args, kwargs: Kwargs, out: Any, capability: Capability) -> list[int]:
    """Partial gradients of the scale (see `_norm_backward`)."""
    wanted = _get(args, kwargs, 5, "output_mask") or (True, True)
    return _norm_backward(args, int(wanted[1]), capability)


def softmax_backward(args: Args, kwargs: Kwargs, out: Any, capability: Capability) -> list[int]:
    """The product of gradient and result (cuda/SoftMax.cu, softmax_backward_cuda_out)."""
    grad, result = args[0], args[1]
    return [grad.numel() * max(grad.element_size(), result.element_size())]


def safe_softmax(args: Args, kwargs: Kwargs, out: Any, capability: Capability) -> list[int]:
    """Which scores are minus infinity (transformers/attention.cpp, _safe_softmax)."""
    return [args[0].numel(), args[0].numel() // args[0].shape[-1]]


def select_rows(args: Args, kwargs: Kwargs, out: Any, capability: Capability) -> list[int]:
    """Positions of a mask's true elements (TensorIndexing expandTensors; cuda/Nonzero.cu)."""
    masks = [i for i in args[1] if i is not None and _dtype(i) in ("bool", "uint8")]
    return [8 * mask.dim() * out.shape[0] for mask in masks]


def put_rows(args: Args, kwargs: Kwargs, out: Any, capability: Capability) -> list[int]:
    """Positions, sorted with their order (cuda/Indexing.cu, index_put_with_sort_kernel)."""
    if args[2].numel() == 1:
        return []
    indices = [index for index in args[1] if index is not None]
    masks = [index for index in indices if _dtype(index) in ("bool", "uint8")]
    count = args[2].shape[0] if masks else max(index.numel() for index in indices)
    found = [8 * index.dim() * count for index in masks]
    if not _get(args, kwargs, 3, "accumulate"):
        return found
    return [*found, *[8 * count] * 4, 16 * count]


def foreach_norm(args: Args, kwargs: Kwargs, out: Any, capability: Capability) -> list[int]:
    """Partial norms, one for 65,536 elements, as many a tensor as the largest one has.

    cuda/ForeachReduceOp.cu, foreach_tensor_norm_cuda.
    """
    tensors = args[0]
    return [4 * len(tensors) * max(ceil(t.numel() / 65536) for t in tensors)]


def reduction(accumulator: int = 0, vector_of_half: int = 4) -> Workspace:
    """Make the workspace of an operation over `dim`; accumulator 0: as wide as the input."""

    def inside(args: Args, kwargs: Kwargs, out: Any, capability: Capability) -> list[int]:
        x, dims = args[0], _get(args, kwargs, 1, "dim")
        if x.dim() == 0 or x.numel() == 0 or not _contiguous(x):
            return []
        dims = [] if dims is None else [dims] if isinstance(dims, int) else list(dims)
        wide = accumulator or x.element_size()
        vector = vector_of_half if x.element_size() == 2 else 4
        return blocks_of_reduction(tuple(x.shape), dims, wide, _card(capability), vector)

    return inside


def _contiguous(tensor: Any) -> bool:
    return bool(tensor.is_contiguous())


def gemm_4bit(args: Args, kwargs: Kwargs, out: Any, capability: Capability) -> list[int]:
    """The dequantized weight, unless the fused kernel runs."""
    return quantized.gemm_4bit(args, kwargs, capability, multiprocessors(capability))


def int8_quantize(args: Args, kwargs: Kwargs, out: Any, capability: Capability) -> list[int]:
    """Magnitudes and outlier mask of the activations."""
    return quantized.int8_quantize(args, kwargs)


def int8_product(args: Args, kwargs: Kwargs, out: Any, capability: Capability) -> list[int]:
    """The int32 product."""
    return quantized.int8_product(out[0] if isinstance(out, tuple) else out)


def int8_dequantize(args: Args, kwargs: Kwargs, out: Any, capability: Capability) -> list[int]:
    """The float16 result before it is cast."""
    return quantized.int8_dequantize(out)


WORKSPACES: Mapping[str, Workspace] = {
    "aten::_scaled_dot_product_flash_attention": flash_forward,
    "aten::_scaled_dot_product_flash_attention_backward": flash_backward,
    "aten::_scaled_dot_product_efficient_attention": efficient_forward,
    "aten::_scaled_dot_product_efficient_attention_backward": efficient_backward,
    "aten::_scaled_dot_product_cudnn_attention": cudnn_forward,
    "aten::_scaled_dot_product_cudnn_attention_backward": cudnn_backward,
    "aten::embedding_dense_backward": embedding_backward,
    "aten::native_layer_norm_backward": layer_norm_backward,
    "aten::_fused_rms_norm_backward": rms_norm_backward,
    "aten::_softmax_backward_data": softmax_backward,
    "aten::_safe_softmax": safe_softmax,
    "aten::index": select_rows,
    "aten::_index_put_impl_": put_rows,
    "aten::index_put": put_rows,
    "aten::index_put_": put_rows,
    "aten::_foreach_norm": foreach_norm,
    "aten::sum": reduction(4, vector_of_half=8),
    "aten::mean": reduction(4),
    "aten::amax": reduction(),
    "aten::amin": reduction(),
    "bitsandbytes::gemm_4bit": gemm_4bit,
    "bitsandbytes::int8_vectorwise_quant": int8_quantize,
    "bitsandbytes::int8_scaled_mm": int8_product,
    "bitsandbytes::int8_mixed_scaled_mm": int8_product,
    "bitsandbytes::int8_mm_dequant": int8_dequantize,
}
