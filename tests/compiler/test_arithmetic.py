"""The counts of a training step: what grows with what, and against sums done by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ftspec.compiler.arithmetic import Job, load
from ftspec.compiler.facts.model import Shape, shape_of

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
CONFIG = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 256,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
}
SHAPE: Shape = shape_of(CONFIG, "config.json")
WEIGHTS = 3 * (64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 256)  # of the linear layers
HEAD = 1000 * 64
FROZEN = Job(SHAPE, "prefix", batch=2, length=100)
LORA = replace(FROZEN, method="lora", rank=8, targets=ATTENTION)


def test_products_by_hand() -> None:
    assert load(FROZEN).products == 2 * 200 * (2 * WEIGHTS + 3 * HEAD)
    assert load(FROZEN, backward=False).products == 2 * 200 * (WEIGHTS + HEAD)
    full = load(replace(FROZEN, method="full"))
    assert full.products == 2 * 200 * (3 * WEIGHTS + 4 * HEAD)  # the usual 6 P a token
    again = load(replace(FROZEN, checkpointing=True))
    assert again.products == 2 * 200 * (3 * WEIGHTS + 3 * HEAD)


def test_adapters_add_their_products() -> None:
    widths = 2 * (64 + 64) + 2 * (64 + 32)
    added = load(LORA).products - load(FROZEN).products
    assert added == 6 * 200 * 8 * 3 * widths


def test_attention_grows_with_the_square_of_the_length() -> None:
    twice = load(replace(FROZEN, length=200))
    assert twice.attention == 4 * load(FROZEN).attention
    assert load(replace(FROZEN, masked=False)).attention == load(FROZEN).attention / 2
    eager = replace(FROZEN, attention="eager", masked=False)
    assert load(eager).attention == load(FROZEN).attention
    assert load(eager).moved > load(FROZEN).moved


def test_a_soft_prompt_is_part_of_every_row() -> None:
    prompt = replace(FROZEN, method="prompt", virtual_tokens=20)
    assert prompt.tokens == 240
    assert replace(prompt, method="prefix").tokens == 200


@pytest.mark.parametrize(
    ("change", "count", "expected"),
    [
        ({}, "blocks", 3 * 2),
        ({"checkpointing": True}, "blocks", 3 * 3),
        ({}, "adapters", 3 * 2 * 4),
        ({"targets": ("q_proj",)}, "adapters", 3 * 2),
        ({"targets": ("attn.q_proj",)}, "adapters", 0),
        ({}, "quantized", 0),
        ({"quantized": True}, "quantized", 3 * 2 * 7),
        ({}, "cast", 0),
        ({"autocast": True}, "cast", 3 * 2 * 7),
        ({"autocast": True, "quantized": True}, "cast", 0),
        ({}, "selective", 0),
        ({"checkpointing": True}, "selective", 0),
        ({"checkpointing": "selective"}, "selective", 3 * 3),
    ],
)
def test_launches(change: dict[str, object], count: str, expected: int) -> None:
    assert getattr(load(replace(LORA, **change)), count) == expected


def test_bytes_that_are_moved() -> None:
    assert load(replace(LORA, short_adapters=True)).moved < load(LORA).moved
    assert load(replace(LORA, full_logits=True)).moved > load(LORA).moved
    assert load(replace(LORA, quantized=True)).dequantized == 2.5 * WEIGHTS * 2
    assert load(LORA).dequantized == 0
    assert load(replace(LORA, trained=1000)).optimizer == 48_000
    full = replace(FROZEN, method="full")
    cast = load(replace(full, autocast=True)).moved - load(full).moved
    assert cast == pytest.approx(6 * WEIGHTS + 12 * WEIGHTS)
