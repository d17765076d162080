"""bench/vram: the T4 rows' own training step, traced on a tiny model."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import t4
from vram_case import TINY, t4_folder

from ftspec.compiler.facts import catalogue
from ftspec.compiler.memory.live import NEEDED

MISSING = [name for name in NEEDED if find_spec(name) is None]
if MISSING:
    pytest.skip(f"not installed: {', '.join(MISSING)}", allow_module_level=True)
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.xdist_group("trace"),  # the imports, once
]


def script() -> Any:
    """The module under test: it imports torch."""
    return import_module("t4_script")


@pytest.fixture
def tiny_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t4.T4Row:
    monkeypatch.setattr(catalogue, "known_config", lambda _: dict(TINY))
    found, _ = t4.load_t4(t4_folder(tmp_path, seq_len=128, lora_targets=["q_proj", "o_proj"]))
    return found


def test_their_step_keeps_its_logits_through_backward(tiny_row: t4.T4Row) -> None:
    wide = replace(tiny_row, config={**TINY, "vocab_size": 30_000})
    taken = script().trace_t4(wide)
    elements = 2 * 128 * 30_000
    # Float16 logits, and in float32 their log-softmax, its gradient and the gradient's product.
    assert 14 * elements < taken.allocated < 15.5 * elements + 20 * t4.MIB
    assert taken.reserved >= taken.allocated


def test_their_preparation_casts_what_is_not_quantized(tiny_row: t4.T4Row) -> None:
    quantized = replace(tiny_row, quantization="nf4")
    sizes: dict[int, int] = {}
    for key, size in script().events_of(quantized):
        if key == script().PHASE:
            break  # where the first step begins
        if size >= 0:
            sizes[key] = size
        else:
            del sizes[key]
    embedding = 4 * 300 * 64  # tied to the head, float32 after the cast
    assert embedding in sizes.values()
    assert embedding // 2 not in sizes.values()
    packed = 64 * 64 // 2
    assert list(sizes.values()).count(packed) >= 2 * 2  # q and o of both blocks


def test_their_cache_is_emptied_since_a_release_of_peft(tiny_row: t4.T4Row) -> None:
    keys = [
        {key for key, _ in script().events_of(replace(tiny_row, quantization="nf4", peft=release))}
        for release in ((0, 19, 1), (0, 20, 0))
    ]
    assert [script().EMPTY_CACHE in found for found in keys] == [False, True]
