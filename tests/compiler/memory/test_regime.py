"""Which tape a set-up needs: names of structures and regimes, and what no tape covers."""

from __future__ import annotations

from typing import Any

import pytest
from small_tapes import make_shape, make_work

from ftspec.compiler.facts import catalogue
from ftspec.compiler.facts.config import shape_of
from ftspec.compiler.memory.regime import PRESETS, attention_of, regime, structure, windowed
from ftspec.compiler.memory.work import Work

HOPPER, AMPERE, TURING = (9, 0), (8, 6), (7, 5)
LLAMA = {"model_type": "llama"}


def work(**changed: Any) -> Work:
    return make_work(**changed)


def lora(method: str = "lora", preset: str = "all-linear", **changed: Any) -> Work:
    family = make_shape().family
    assert family is not None
    fields = {"method": method, "rank": 8, "targets": family.targets(preset), "dropout": 0.05}
    return make_work(**{**fields, **changed})


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("meta-llama/Llama-2-7b-hf", "llama"),
        ("HuggingFaceTB/SmolLM2-135M", "llama tied grouped"),
        ("meta-llama/Llama-3.1-8B", "llama grouped"),
        ("Qwen/Qwen2.5-0.5B", "qwen2 biases=kqv tied grouped"),
        ("Qwen/Qwen2.5-7B", "qwen2 biases=kqv grouped"),
        ("Qwen/Qwen3-0.6B", "qwen3 tied grouped"),
    ],
)
def test_the_structure_of_a_model(model: str, name: str) -> None:
    config = catalogue.known_config(model)
    assert config is not None
    assert structure(config, shape_of(config, model)) == name


def test_widths_do_not_make_a_structure_and_switches_do() -> None:
    plain = structure(LLAMA, make_shape())
    assert structure({**LLAMA, "hidden_size": 1}, make_shape(layers=99, hidden=64)) == plain
    activated = structure({**LLAMA, "hidden_act": "silu"}, make_shape())
    assert activated == "llama hidden_act=silu tied"
    dropped = structure({**LLAMA, "attention_dropout": 0.1}, make_shape())
    assert "attention_dropout=on" in dropped
    assert structure({**LLAMA, "attention_dropout": 0.2}, make_shape()) == dropped
    assert structure({**LLAMA, "attention_dropout": 0.0}, make_shape()) == plain
    scaled = {**LLAMA, "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}
    assert "rope=dynamic" in structure(scaled, make_shape())
    linear = {**LLAMA, "rope_scaling": {"type": "linear", "factor": 2.0}}
    assert structure(linear, make_shape()) == plain


@pytest.mark.parametrize(
    ("setup", "card", "name"),
    [
        (work(), HOPPER, "full, bfloat16, bfloat16, cudnn masked"),
        (work(padded=False), HOPPER, "full, bfloat16, bfloat16, cudnn"),
        (work(batch=1), HOPPER, "full, bfloat16, bfloat16, cudnn"),  # one row has no padding
        (work(batch=1, packed=True), HOPPER, "full, bfloat16, bfloat16, cudnn packed"),
        (work(batch=1, packed=True), AMPERE, "full, bfloat16, bfloat16, efficient packed"),
        (work(padded=False), AMPERE, "full, bfloat16, bfloat16, flash"),
        (work(), AMPERE, "full, bfloat16, bfloat16, efficient masked"),
        (work(dtype="float32"), AMPERE, "full, float32, bfloat16, efficient masked"),
        (
            work(dtype="float32", autocast=None),
            HOPPER,
            "full, float32, no autocast, efficient masked",
        ),
        (
            work(dtype="float16", autocast="float16"),
            TURING,
            "full, float16, float16, efficient masked",
        ),
        (
            work(checkpointing=True),
            AMPERE,
            "full, bfloat16, bfloat16, checkpointed, efficient masked",
        ),
        (work(attention="eager"), HOPPER, "full, bfloat16, bfloat16, eager masked"),
        (work(attention="eager", padded=False), HOPPER, "full, bfloat16, bfloat16, eager"),
        (
            work(shape=make_shape(kv_heads=2), attention="eager", batch=1),
            HOPPER,
            "full, bfloat16, bfloat16, eager",
        ),
        (lora(), HOPPER, "lora, bfloat16, bfloat16, all-linear, dropout, cudnn masked"),
        (lora(dropout=0.0), HOPPER, "lora, bfloat16, bfloat16, all-linear, cudnn masked"),
        (
            lora("qlora", "attention", quantization="nf4", checkpointing=True),
            AMPERE,
            "qlora, bfloat16, bfloat16, 4-bit double, attention, dropout, checkpointed, "
            "efficient masked",
        ),
        (
            lora("qlora", quantization="fp4", double_quant=False),
            HOPPER,
            "qlora, bfloat16, bfloat16, 4-bit, all-linear, dropout, cudnn masked",
        ),
        (
            lora("qlora", "attention-min", quantization="int8"),
            HOPPER,
            "qlora, bfloat16, bfloat16, int8, attention-min, dropout, cudnn masked",
        ),
        (
            work(method="prompt", virtual_tokens=4),
            HOPPER,
            "prompt, bfloat16, bfloat16, cudnn masked",
        ),
    ],
)
def test_the_name_of_a_regime(setup: Work, card: tuple[int, int], name: str) -> None:
    assert regime(LLAMA, setup, card) == name


@pytest.mark.parametrize(
    "setup",
    [
        lora(dora=True),
        lora(bias="all"),
        lora(modules_to_save=("lm_head",)),
        lora(targets=("q_proj", "down_proj")),
        work(checkpointing="selective"),
        work(full_logits=True),
        work(attention="flash_attention_2"),
        work(shape=make_shape(experts=8, experts_per_token=2, expert_ffn=64)),
        lora(shape=make_shape(architecture="unheard-of")),
    ],
    ids=[
        *("dora", "biases", "saved modules", "other targets", "selective", "full logits"),
        *("flash-attn", "experts", "an unknown family"),
    ],
)
def test_what_tapes_do_not_cover(setup: Work) -> None:
    assert regime(LLAMA, setup, HOPPER) is None


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_told_by_their_modules_in_any_order(preset: str) -> None:
    setup = lora(preset=preset)
    name = regime(LLAMA, setup, HOPPER)
    assert name is not None
    assert f", {preset}, " in name
    turned = lora(targets=tuple(reversed(setup.targets)))
    assert regime(LLAMA, turned, HOPPER) == name


@pytest.mark.parametrize(
    ("config", "setup", "expected"),
    [
        ({}, work(length=4096), False),
        ({"sliding_window": None}, work(length=4096), False),
        ({"sliding_window": 4096}, work(length=4095), False),
        ({"sliding_window": 4096}, work(length=4096), True),
        ({"sliding_window": 4096, "use_sliding_window": False}, work(length=9000), False),
        ({"sliding_window": 4096}, work(length=1024, batch=4, packed=True), True),
        ({"sliding_window": 4096}, work(length=1024, batch=4), False),
        ({"sliding_window": 100}, work(method="prompt", length=90, virtual_tokens=10), True),
        ({"text_config": {"sliding_window": 64}}, work(length=64), True),
    ],
)
def test_a_row_longer_than_the_window(config: dict[str, Any], setup: Work, expected: bool) -> None:
    assert windowed(config, setup) is expected
    if expected:
        assert regime(config, setup, HOPPER) is None


def test_eager_attention_has_a_mask_of_its_own_for_windows() -> None:
    long = work(length=4096, attention="eager")
    assert regime({"sliding_window": 4096}, long, HOPPER) is not None


def test_grouped_heads_go_without_the_efficient_kernel() -> None:
    """It knows no grouped heads; a mask makes transformers repeat the keys."""
    grouped = make_shape(kv_heads=2)
    single = make_work(grouped, padded=False, dtype="float32", autocast=None)
    assert attention_of(single, HOPPER) == "math"
    masked = make_work(grouped, padded=True, dtype="float32", autocast=None)
    assert attention_of(masked, HOPPER) == "efficient masked"
