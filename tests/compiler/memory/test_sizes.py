"""What symbols stand for in a set-up, and what a tape's sizes are at it."""

from __future__ import annotations

import pytest
from small_tapes import make_shape, make_tape, make_work, product

from ftspec.compiler.memory.sizes import sizes, values
from ftspec.compiler.memory.symbols import TOKEN_CHUNK, VOCAB_CHUNK

CARD = (9, 0)


def test_widths_and_lengths() -> None:
    shape = make_shape(heads=8, kv_heads=2)
    found = values(make_work(shape, batch=3, length=50), 3)
    assert {name: found[name] for name in ("B", "S", "S1", "S8", "S32", "T")} == {
        "B": 3,
        "S": 50,
        "S1": 49,
        "S8": 56,
        "S32": 64,
        "T": 50,
    }
    assert [found[name] for name in ("H", "I", "K", "G", "G2", "D", "V", "L")] == [
        *(256, 512, 2, 4, 6, 64, 1024, 8)
    ]


def test_packed_rows_are_one_row() -> None:
    found = values(make_work(batch=4, length=64, packed=True), 4)
    assert (found["B"], found["S"]) == (1, 256)


def test_a_soft_prompt_makes_rows_longer() -> None:
    found = values(make_work(method="prompt", length=60, virtual_tokens=5), 2)
    assert (found["v"], found["S"], found["T"], found["T1"], found["T8"]) == (5, 60, 65, 64, 72)


@pytest.mark.parametrize(
    ("rows", "length", "tile", "rest"),
    [
        (1, 101, 100, 0),
        (1, TOKEN_CHUNK + 1, TOKEN_CHUNK, 0),
        (2, 2501, TOKEN_CHUNK, 5000 - TOKEN_CHUNK),
        (4, 2501, TOKEN_CHUNK, TOKEN_CHUNK),  # of three tiles two lie there at once
    ],
)
def test_tokens_of_a_tile_and_of_the_next(rows: int, length: int, tile: int, rest: int) -> None:
    found = values(make_work(batch=rows, length=length), rows)
    assert (found["ct"], found["rt"]) == (tile, rest)


@pytest.mark.parametrize(
    ("vocab", "length", "chunk", "beside"),
    [
        (50257, 512, VOCAB_CHUNK, 50257 - VOCAB_CHUNK),
        (2 * VOCAB_CHUNK, 512, VOCAB_CHUNK, VOCAB_CHUNK),
        (128256, 512, VOCAB_CHUNK, VOCAB_CHUNK),
        (32000, 512, 32000, 0),  # one chunk of the head's weight, and nothing beside it
        (32000, 9000, 32000, 32000),  # the next tokens' beside those of the tokens before
    ],
)
def test_chunks_of_the_head(vocab: int, length: int, chunk: int, beside: int) -> None:
    work = make_work(make_shape(vocab=vocab), batch=1, length=length)
    tape = make_tape(sizes=(product(2, cv=1, H=1), product(2, rv=1, H=1), product(2, ct=1, cv=1)))
    tokens = min(length - 1, TOKEN_CHUNK)
    assert sizes(tape, work, 1, CARD) == [
        2 * chunk * 256,
        2 * beside * 256,
        2 * tokens * VOCAB_CHUNK,  # the tile is as wide as a chunk in any case
    ]


def test_what_counts_in_the_loss_is_known_of_training_alone() -> None:
    work = make_work(batch=2, length=101, counted=30)
    assert (values(work, 2)["ct"], values(work, 2)["N"]) == (30, 30)
    assert values(work, 2, training=False)["ct"] == 200
    assert values(work, 2, training=False)["N"] == 200


def test_what_an_operation_allocates_is_asked_for_these_sizes_and_this_card() -> None:
    """Softmax's backward: a product of its gradient and its result (ATen cuda/SoftMax.cu)."""
    tensor = ("tensor", (product(1, B=1)[1], product(1, S=1)[1]), 4, "float32", True)
    call = ("aten::_softmax_backward_data", (tensor, tensor), (), (tensor,))
    tape = make_tape(sizes=(("call", call, 0), ("call", call, 1)))
    work = make_work(batch=3, length=50)
    assert sizes(tape, work, 3, CARD) == [4 * 3 * 50, 0]  # it has one block, no second
