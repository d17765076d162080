"""What operations allocate inside of themselves, at sizes where some of them allocate nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftspec.compiler.memory.trace.calls import Call, inside
from ftspec.compiler.memory.trace.workspaces import SOMETIMES, WORKSPACES

CARD = (8, 0)


def tensor(*shape: int, each: int = 2, dtype: str = "bfloat16") -> tuple[Any, ...]:
    return ("tensor", shape, each, dtype, True)


def call(name: str, rows: int, width: int) -> Call:
    """An operation over `rows` of `width` elements."""
    x = tensor(rows, width)
    heads = tensor(1, 2, rows, width)
    arguments: dict[str, tuple[Any, ...]] = {
        "aten::_scaled_dot_product_flash_attention": (heads, heads, heads, 0.0, True),
        "aten::_scaled_dot_product_efficient_attention": (heads, heads, heads, None, True),
        "aten::embedding_dense_backward": (x, tensor(rows, each=8, dtype="int64"), 500, -1, False),
        "aten::native_layer_norm_backward": (x, x, (width,), x, x, x, x, (True, True, True)),
        "aten::_fused_rms_norm_backward": (x, x, (width,), x, x, (True, True)),
    }
    return Call(name, arguments.get(name, (x, (0,))), (), (x,))


@pytest.mark.parametrize("name", SOMETIMES)
@given(rows=st.integers(1, 200_000), width=st.sampled_from((64, 96, 128, 256, 1024)))
def test_no_more_blocks_than_a_tape_has_places_for(name: str, rows: int, width: int) -> None:
    assert name in WORKSPACES
    assert len(inside(call(name, rows, width), CARD)) <= SOMETIMES[name]


@pytest.mark.parametrize(
    ("name", "none", "some"),
    [
        ("aten::_scaled_dot_product_flash_attention", (100_000, 64), (512, 64)),
        ("aten::_scaled_dot_product_efficient_attention", (512, 128), (512, 256)),
        ("aten::embedding_dense_backward", (3072, 64), (3073, 64)),
        ("aten::native_layer_norm_backward", (65_536, 64), (65_537, 64)),
        ("aten::_fused_rms_norm_backward", (65_536, 64), (65_537, 64)),
        ("aten::sum", (16, 1024), (100_000, 64)),
        ("aten::amax", (16, 1024), (100_000, 64)),
    ],
)
def test_they_allocate_at_some_sizes_alone(
    name: str, none: tuple[int, int], some: tuple[int, int]
) -> None:
    assert not any(inside(call(name, *none), CARD))
    assert any(inside(call(name, *some), CARD))
