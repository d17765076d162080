"""The blocks that a CUDA reduction keeps in global memory while several of its blocks add up.

A transcript of `setReduceConfig` and `ReduceConfig` in aten/src/ATen/native/cuda/Reduce.cuh
(PyTorch 2.13), for contiguous inputs of fewer than 2**31 elements. Its buffer is larger than what
is written to it: outputs x blocks x threads x vector where columns are summed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

WARP = 32
MAX_THREADS = 512
MIN_VALUES, MAX_VALUES = 16, 256


@dataclass(frozen=True, slots=True)
class Card:
    """What of a card decides how a reduction is split."""

    multiprocessors: int
    threads: int  # that a multiprocessor holds


def _power(n: int) -> int:
    """Return the largest power of two up to n."""
    return 1 << (max(1, n).bit_length() - 1)


def _merged(shape: Sequence[int], reduced: Sequence[bool]) -> list[tuple[int, bool, int]]:
    """Join neighbours that are reduced alike: (size, reduced, stride in elements), last first."""
    parts: list[tuple[int, bool, int]] = []
    stride = 1
    for size, gone in zip(reversed(shape), reversed(reduced), strict=True):
        if size == 1:
            continue
        if parts and parts[-1][1] == gone:
            parts[-1] = (parts[-1][0] * size, gone, parts[-1][2])
        else:
            parts.append((size, gone, stride))
        stride *= size
    return parts


def _output_vector(kept: list[tuple[int, bool, int]], parts: list[tuple[int, bool, int]]) -> int:
    """Return how many neighbouring outputs a thread makes (get_output_vec_size)."""
    vector = 4
    for number in [kept[0][0], *(part[2] for part in parts if part is not kept[0])]:
        while number % vector:
            vector //= 2
    return vector


def blocks_of_reduction(
    shape: Sequence[int], dims: Sequence[int], accumulator: int, card: Card, vector: int = 4
) -> list[int]:
    """Return the bytes of the buffer and of its semaphores, or nothing where one block suffices.

    accumulator: bytes of the type that is summed in. vector: inputs that a thread loads at once.
    """
    chosen = {d % len(shape) for d in dims} if dims else set(range(len(shape)))
    parts = _merged(shape, [d in chosen for d in range(len(shape))])
    gone = [part for part in parts if part[1]]
    kept = [part for part in parts if not part[1]]
    if not gone:
        return []
    outputs, inputs = prod(p[0] for p in kept), prod(p[0] for p in gone)
    rows = not kept or gone[0][2] < kept[0][2]  # the fastest dimension is reduced
    dim0, dim1 = (inputs, outputs) if rows else (outputs, inputs)
    together = 1
    if rows and gone[0][2] == 1 and dim0 >= 128 and len(gone) == 1:
        dim0 //= vector
    elif not rows and kept[0][2] == 1:
        together = _output_vector(kept, parts)
        dim0 //= together
    most = MAX_THREADS // together
    width0, height0 = min(_power(dim0), most), min(_power(dim1), most)
    height = min(height0, most // min(width0, WARP))
    width = min(width0, most // height)
    values = -(-inputs // width) if rows else inputs
    if values < min(height * 16, MAX_VALUES):
        return []
    values = -(-values // height)
    grid = -(-(outputs // together) // (1 if rows else width))
    target = card.multiprocessors * (card.threads // (width * height))
    if values < MAX_VALUES or grid > target:
        return []
    split = min(-(-target // grid), -(-values // MIN_VALUES))
    split = max(split, -(-values // MAX_VALUES))
    if split == 1:
        return []
    buffer = accumulator * outputs * split * (1 if rows else width * together)
    return [buffer, 4 * grid]
