"""Speed and cost: inside its interval on the measured runs, and sensible everywhere else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from compiling import plan_of
from machines import CPU, cards, gpu

from ftspec.compiler.arithmetic import Job
from ftspec.compiler.facts.hardware import Hardware
from ftspec.compiler.facts.lengths import Lengths
from ftspec.compiler.facts.model import Shape, resolve_model
from ftspec.compiler.plan import Plan
from ftspec.compiler.speed import HOST, MEASURED, OTHERS, Speed, estimate, step_seconds

BENCH = Path(__file__).resolve().parents[2] / "bench"
SEVEN_B = "meta-llama/Llama-2-7b-hf"
LENGTHS = Lengths(tuple(range(100, 200)), tuple(range(50, 150)), 100)
H200 = cards("h200")
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")


@pytest.fixture(scope="module")
def shape() -> Shape:
    found = resolve_model(SEVEN_B, Path()).shape
    assert found is not None
    return found


@pytest.fixture
def lora(shape: Shape) -> Job:
    return Job(shape, "lora", 4, 512.0, rank=16, targets=ATTENTION)


def plan(world: Path, hardware: Hardware = H200, **changes: Any) -> Plan:
    spec = {
        "model": SEVEN_B,
        "method": "lora",
        "data": {"train": "train.jsonl", "max_length": 512, "eval": "none"},
        "train": {"batch_size": 4, "gradient_accumulation": 4, "max_steps": 100},
    }
    spec |= changes
    return plan_of(spec, world, hardware, world / "project")


def known(speed: Speed) -> tuple[float, float, float]:
    assert speed.low and speed.tokens_per_second and speed.high
    return speed.low, speed.tokens_per_second, speed.high


# The measured runs


def measured_rows() -> Iterator[Any]:
    sys.path.insert(0, str(BENCH / "speed"))
    try:
        from timings import read

        yield from read(BENCH / "methods" / "results.jsonl")
    finally:
        sys.path.remove(str(BENCH / "speed"))


ROWS = list(measured_rows())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_measured_run_lies_in_its_interval(row: Any) -> None:
    times = step_seconds(row.job, row.gpu)
    assert times.low < row.seconds < times.high
    assert times.likely / row.seconds == pytest.approx(1, abs=0.16)


def test_all_measured_runs_are_read() -> None:
    assert len(ROWS) == 14
    assert {row.gpu.name for row in ROWS} <= set(MEASURED)


# What a step depends on


def test_more_work_takes_longer(lora: Job) -> None:
    card = gpu("h200")
    usual = step_seconds(lora, card).likely
    for change in (
        {"batch": 16},
        {"length": 2048.0},
        {"accumulation": 2},
        {"checkpointing": True},
        {"quantized": True},
        {"method": "full", "trained": 7 * 10**9},
    ):
        assert step_seconds(replace(lora, **change), card).likely > usual, change
    selective = step_seconds(replace(lora, checkpointing="selective"), card).likely
    assert selective > step_seconds(replace(lora, checkpointing=True), card).likely
    assert step_seconds(lora, card, backward=False).likely < usual / 2


def test_small_batches_wait_for_the_host(lora: Job) -> None:
    tiny = replace(lora, batch=1, length=8.0)
    fast, slow = step_seconds(tiny, gpu("b200")), step_seconds(tiny, gpu("h200"))
    assert fast.likely == pytest.approx(slow.likely)
    assert fast.likely == pytest.approx(HOST.step + 64 * HOST.block + 256 * HOST.adapter)


def test_large_batches_wait_for_the_card(lora: Job) -> None:
    large = replace(lora, batch=32, length=2048.0)
    rates = [step_seconds(large, gpu(name)).likely for name in ("h200", "h100", "4090", "t4")]
    assert rates == sorted(rates)


def test_a_card_that_was_not_measured_has_a_wider_interval(lora: Job) -> None:
    large = replace(lora, batch=32)
    spreads = []
    for name in ("h200", "4090"):
        times = step_seconds(large, gpu(name))
        assert times.low < times.likely < times.high
        spreads.append(times.high / times.low)
    assert spreads[0] < spreads[1]
    assert OTHERS.spread > max(share.spread for share in MEASURED.values())


# A plan's estimate


def test_a_run_of_known_rows(world: Path, shape: Shape) -> None:
    speed = estimate(plan(world), shape, gpu("h200"), LENGTHS, price_per_hour=3.6)
    low, rate, high = known(speed)
    assert low < rate < high
    assert speed.tokens == 100 * 16 * 149.5  # steps x rows x mean tokens
    assert speed.measured and speed.note == ""
    assert speed.seconds == pytest.approx(speed.tokens / rate)
    assert speed.seconds_low == pytest.approx(speed.tokens / high)
    assert speed.seconds_high == pytest.approx(speed.tokens / low)
    assert speed.cost == pytest.approx(speed.seconds / 1000)
    assert speed.cost_low is not None and speed.cost_high is not None
    assert speed.cost_low < speed.cost < speed.cost_high


def test_epochs_count_all_rows(world: Path, shape: Shape) -> None:
    made = plan(world, train={"batch_size": 4, "gradient_accumulation": 4, "epochs": 2})
    speed = estimate(made, shape, gpu("h200"), LENGTHS)
    assert made.data.train_rows is not None
    assert speed.tokens == round(2 * made.data.train_rows * 149.5)


def test_rows_are_cut_at_max_length(world: Path, shape: Shape) -> None:
    made = plan(world, data={"train": "train.jsonl", "max_length": 100, "eval": "none"})
    assert estimate(made, shape, gpu("h200"), LENGTHS).tokens == 100 * 16 * 100


def test_padding_costs_time(world: Path, shape: Shape) -> None:
    ragged = Lengths((20,) * 90 + (260,) * 10, (20,) * 100, 100)
    even = Lengths((44,) * 100, (20,) * 100, 100)  # as many tokens
    made = plan(world, train={"batch_size": 16, "gradient_accumulation": 16, "max_steps": 10})
    slow = known(estimate(made, shape, gpu("t4"), ragged))[1]
    fast = known(estimate(made, shape, gpu("t4"), even))[1]
    assert slow < fast / 2


def test_without_lengths_the_tokens_are_not_known(world: Path, shape: Shape) -> None:
    speed = estimate(plan(world), shape, gpu("h200"))
    assert speed.tokens is None and speed.tokens_per_second is not None
    assert "max_length" in speed.note


def test_evaluations_take_their_time(world: Path, shape: Shape) -> None:
    train = {"batch_size": 4, "gradient_accumulation": 4, "max_steps": 100}
    data = {"train": "train.jsonl", "max_length": 512, "eval": "few.jsonl"}
    often = plan(world, data=data, train={**train, "eval_steps": 10, "save_steps": 10})
    seldom = plan(world, data=data, train={**train, "eval_steps": 50, "save_steps": 50})
    never = estimate(plan(world), shape, gpu("h200"), LENGTHS).seconds
    times = [estimate(made, shape, gpu("h200"), LENGTHS).seconds for made in (seldom, often)]
    assert never is not None and times[0] is not None and times[1] is not None
    assert times[1] - never == pytest.approx(5 * (times[0] - never))


def test_several_cards_share_the_work(world: Path, shape: Shape) -> None:
    train = {"batch_size": 4, "gradient_accumulation": 2, "max_steps": 100}
    one = known(estimate(plan(world), shape, gpu("h200"), LENGTHS))
    two = plan(world, cards("h200", 2), train=train)
    speed = estimate(two, shape, gpu("h200"), LENGTHS)
    low, rate, high = known(speed)
    assert one[1] < rate < 2.1 * one[1]
    assert rate / low > one[1] / one[0]
    assert "several cards were not measured" in speed.note


def test_what_is_not_known_is_said(world: Path, shape: Shape) -> None:
    lines = {
        "NVIDIA GeForce RTX 4090 was not measured": ("4090", {}),
        "torch.compile": ("h200", {"compile": True}),
        "paging": ("h200", {"optimizer": "paged_adamw_8bit"}),
    }
    for words, (name, train) in lines.items():
        made = plan(world, train={"max_steps": 10, **train})
        assert words in estimate(made, shape, gpu(name), LENGTHS).note
    int8 = plan(world, method={"type": "qlora", "quantization": "int8"})
    assert "int8" in estimate(int8, shape, gpu("h200"), LENGTHS).note


def test_no_speed_where_none_can_be_told(world: Path, shape: Shape) -> None:
    made = plan(world)
    on_cpu = estimate(plan(world, CPU), shape, None, LENGTHS)
    assert (on_cpu.tokens_per_second, on_cpu.seconds) == (None, None)
    assert on_cpu.tokens is not None
    assert on_cpu.note == "speed is not predicted on the CPU"
    experts = estimate(made, replace(shape, experts=8), gpu("h200"), LENGTHS)
    assert experts.tokens_per_second is None and "experts" in experts.note
    nothing = estimate(made, None, gpu("h200"), LENGTHS)
    assert nothing.tokens_per_second is None and "shape" in nothing.note
    other = estimate(made, replace(shape, architecture="mamba3"), gpu("h200"), LENGTHS)
    assert other.tokens_per_second is None
