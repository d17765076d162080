"""Which models' blocks are alike, by their configs."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

pytestmark = [
    pytest.mark.skipif(find_spec("transformers") is None, reason="not installed: transformers"),
    pytest.mark.filterwarnings("ignore"),
]

BLOCKS = 18
SIZES = {"num_hidden_layers": BLOCKS, "hidden_size": 64, "num_attention_heads": 4}


def alike(config: dict[str, Any], *, windows: bool) -> bool:
    from ftspec.compiler.memory.trace.subject import alike_blocks

    return alike_blocks({**SIZES, **config}, windows=windows)


def test_blocks_without_lists_are_alike() -> None:
    assert alike({"model_type": "llama"}, windows=True)
    assert alike({"model_type": "gpt2", "n_layer": BLOCKS}, windows=True)


def test_windows_part_blocks_where_rows_are_longer() -> None:
    """transformers fills in layer_types: of gemma-3's, every sixth block sees all of a row."""
    gemma = {"model_type": "gemma3_text", "sliding_window": 512}
    assert not alike(gemma, windows=True)
    assert alike(gemma, windows=False)


def test_a_window_of_every_block_parts_none() -> None:
    kinds = ["sliding_attention"] * BLOCKS
    assert alike({"model_type": "gemma3_text", "layer_types": kinds}, windows=True)


def test_late_windows_are_seen_behind_the_first_blocks() -> None:
    """The blocks that a short trace has are all of one kind here."""
    late = {"model_type": "qwen2", "use_sliding_window": True, "max_window_layers": 12}
    assert not alike({**late, "sliding_window": 64}, windows=True)


def test_other_differences_always_count() -> None:
    rotary = [int((number + 1) % 4 != 0) for number in range(BLOCKS)]
    assert not alike({"model_type": "smollm3", "no_rope_layers": rotary}, windows=False)
