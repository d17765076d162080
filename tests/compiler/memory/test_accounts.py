"""What the memory at a peak is made of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_tapes import make_tape, make_work

from ftspec.compiler.memory.accounts import ACCOUNTS, account, totals
from ftspec.compiler.memory.peaks import peaks
from ftspec.compiler.memory.replay import EMPTY_CACHE, PHASE


@pytest.mark.parametrize(
    ("segment", "tag", "expected"),
    [
        ("F.middle", "forward:aten::mm", "activations"),
        ("B.last", "backward:aten::mm", "activations"),
        ("before", "forward:aten::embedding", "activations"),
        ("head", "forward:aten::_to_copy", "logits"),
        ("turn", "backward:aten::mm", "logits"),
        ("F.first", "forward:bitsandbytes::gemm_4bit", "dequantized"),
        ("head", "forward:bitsandbytes::dequantize_4bit", "dequantized"),
    ],
)
def test_the_account_of_an_allocation(segment: str, tag: str, expected: str) -> None:
    assert account(segment, tag) == expected
    assert expected in ACCOUNTS


def test_totals_are_of_what_is_alive_in_whole_blocks() -> None:
    kinds = {1: "base_weights", 2: "logits", 3: "logits"}
    events: list[tuple[int, Any]] = [
        *((PHASE, "load"), (1, 1000), (EMPTY_CACHE, 0), (PHASE, "forward")),
        *((2, 1), (3, 512), (2, -1), (1, -1)),
    ]
    assert totals(events, kinds, 3) == {"base_weights": 1024}
    assert totals(events, kinds, 5) == {"base_weights": 1024, "logits": 1024}
    assert totals(events, kinds, 6) == {"base_weights": 1024, "logits": 512}
    assert totals(events, kinds, 7) == {"logits": 512}


@given(st.integers(1, 9), st.integers(4, 200), st.sampled_from([0, 1, 16]))
def test_accounts_add_up_to_the_allocated_peak(batch: int, length: int, eval_batch: int) -> None:
    work = make_work(batch=batch, length=length, eval_batch=eval_batch)
    seen = peaks(make_tape(), work, (9, 0))
    assert sum(seen.parts.values()) == seen.allocated
    assert set(seen.parts) <= set(ACCOUNTS)
    assert seen.allocated <= seen.reserved
    assert seen.phases[seen.moment][0] == seen.allocated


def test_peaks_of_a_small_model_by_hand() -> None:
    """Eight blocks of 256 x 256, two rows of 64 tokens, bfloat16, plain SGD.

    A hidden state: 2 x 2 x 64 x 256 = 65,536 bytes; a weight: 131,072; the logits: 2 x 2 x 64 x
    1,024 = 262,144, which the tape takes for the embedding's size as well.
    """
    work = make_work(optimizer="sgd")
    seen = peaks(make_tape(), work, (9, 0))
    weights = 262_144 + 8 * 131_072 + 512
    workspaces = 2 * 32 * 2**20
    batch = 3 * 1024
    # Backward of the first block: gradients of all, the embedding, what it kept, two gradients.
    first = 8 * 131_072 + 4 * 65_536
    assert seen.allocated == weights + workspaces + batch + first
    assert seen.moment == "backward"
    assert seen.parts == {
        "base_weights": weights,
        "gradients": 8 * 131_072,
        "activations": 4 * 65_536,
        "workspace": workspaces,
        "batch": batch,
    }
    assert seen.phases["load"][0] == weights
    more = peaks(make_tape(), replace(work, eval_batch=64), (9, 0))
    assert more.moment == "evaluate"
