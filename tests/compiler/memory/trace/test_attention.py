"""Attention on fake tensors takes the kernels, and makes the blocks, that it takes on CUDA."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

from ftspec.compiler.memory.trace.attention_kernels import sdpa_backend

HOPPER, AMPERE, TURING = (9, 0), (8, 0), (7, 5)
ROWS, HEADS, LENGTH, WIDTH = 2, 7, 32, 16
SCORES = 4 * ROWS * HEADS * LENGTH * LENGTH  # bytes, in float32
HEADED = 4 * ROWS * HEADS * LENGTH * WIDTH  # query, or key or value repeated for each head


def test_a_head_that_stands_for_all_leaves_the_products_to_cublas() -> None:
    """check_batch_size_and_num_heads_dense refuses it to every fused kernel, on every card."""
    for card in (HOPPER, AMPERE, TURING):
        for dtype in ("bfloat16", "float16", "float32"):
            kernel = sdpa_backend(card, dtype, WIDTH, False, True, 0.0, broadcast=True)
            assert kernel == "math", (card, dtype)


def test_heads_that_are_declared_as_grouped_have_a_kernel() -> None:
    assert sdpa_backend(HOPPER, "bfloat16", 64, False, True, 0.0, gqa=True) == "cudnn"
    assert sdpa_backend(AMPERE, "bfloat16", 64, False, True, 0.0, gqa=True) == "flash"


needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="not installed: torch")


class Seen:
    """The operations and the storages of an attention on fake tensors."""

    def __init__(self, backend: str, **asked: Any) -> None:
        from torch._subclasses.fake_tensor import FakeTensorMode

        from ftspec.compiler.memory.trace.recorder import Recorder

        self.recorder = Recorder(HOPPER, lambda _: 1, lambda mask: int(mask.numel()))
        self.saved: dict[int, tuple[str, int]] = {}  # by storage
        with FakeTensorMode():
            self._attend(backend, **asked)

    def _attend(
        self,
        backend: str,
        *,
        groups: int,
        dtype: str = "bfloat16",
        mask: bool = False,
        **asked: Any,
    ) -> None:
        import torch

        from ftspec.compiler.memory.trace.attention import attention

        kind = getattr(torch, dtype)
        query, key, value = (
            torch.empty(ROWS, heads, LENGTH, WIDTH, dtype=kind, requires_grad=True)
            for heads in (HEADS, groups, groups)
        )
        given = (
            {"attn_mask": torch.empty(ROWS, 1, LENGTH, LENGTH, dtype=torch.bool)} if mask else {}
        )
        causal = {} if mask else {"is_causal": True}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            self.saved[storage._cdata] = (str(tensor.dtype), storage.nbytes())
            return tensor

        hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
        with hooks, self.recorder:
            out = attention(HOPPER, backend, query, key, value, **given, **causal, **asked)
        self.out = out
        with self.recorder:
            out.backward(torch.empty_like(out))
        self.gradients = [tuple(one.grad.shape) for one in (query, key, value)]

    @property
    def made(self) -> list[tuple[str, int]]:
        """The operations that made storages, and their bytes."""
        events = self.recorder.events
        return [
            (tag.split(":", 2)[2], size) for key, size, tag in events if size >= 0 and ":" in tag
        ]

    def sizes(self, name: str) -> list[int]:
        return [size for operation, size in self.made if operation == name]


@needs_torch
@pytest.mark.filterwarnings("ignore")
def test_broadcast_heads_are_multiplied_in_float32() -> None:
    """Saved: scores after the softmax, the scaled query, and a key and a value for every head."""
    seen = Seen("", groups=1)
    saved = [("torch.float32", size) for size in (HEADED, HEADED, HEADED, SCORES)]
    assert sorted(seen.saved.values()) == saved
    assert not any("scaled_dot_product" in name for name, _ in seen.made)
    assert seen.gradients[1] == (ROWS, 1, LENGTH, WIDTH)
    assert str(seen.out.dtype) == "torch.bfloat16"


@needs_torch
@pytest.mark.filterwarnings("ignore")
def test_a_mask_is_added_to_the_scores_themselves() -> None:
    """attention.cpp: attn.add_, so that no second matrix of scores lies there."""
    for mask in (False, True):
        seen = Seen("", groups=1, mask=mask)
        assert seen.sizes("aten::bmm").count(SCORES) == 2  # scores, and their gradient
        assert SCORES not in seen.sizes("aten::add") + seen.sizes("aten::add_")
        assert seen.sizes("aten::_safe_softmax") == [SCORES]


@needs_torch
@pytest.mark.filterwarnings("ignore")
def test_a_kernel_that_is_wanted_does_not_broadcast_either() -> None:
    """A tape's trace names its kernel; there is none for such heads."""
    wanted = Seen("cudnn", groups=1)
    assert wanted.made == Seen("", groups=1).made


@needs_torch
@pytest.mark.filterwarnings("ignore")
def test_as_many_heads_take_a_fused_kernel() -> None:
    made = [name for name, _ in Seen("", groups=HEADS).made]
    assert "aten::_scaled_dot_product_cudnn_attention" in made
    assert "aten::_safe_softmax" not in made


@needs_torch
@pytest.mark.filterwarnings("ignore")
def test_autocast_is_off_inside() -> None:
    """The scores stay in float32 where autocast is on: it casts what is given, and no more."""
    import torch

    with torch.autocast("cpu", dtype=torch.bfloat16):
        seen = Seen("", groups=1, dtype="float32")
    assert seen.sizes("aten::_safe_softmax") == [SCORES]
    assert {dtype for dtype, _ in seen.saved.values()} == {"torch.float32"}
    assert str(seen.out.dtype) == "torch.bfloat16"
