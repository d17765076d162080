"""What a measurement makes of a plan: memory, speed, and what the prediction was off by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from compiling import plan_of
from fakes import make_model, write_alpaca
from machines import RTX_4090
from measurements import GIB, PHASES, RECORD, STEPS, measured, predicted

from ftspec import __version__
from ftspec.compiler.plan import Plan
from ftspec.compiler.speed import Speed
from ftspec.runtime.measured import (
    Step,
    from_records,
    measured_memory,
    measured_speed,
    residual,
)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    make_model(tmp_path / "tiny")
    write_alpaca(tmp_path / "rows.jsonl", 200)
    return plan_of("model: tiny\nmethod: lora\ndata: rows.jsonl\n", tmp_path, RTX_4090)


def record(**changed: Any) -> dict[str, Any]:
    return json.loads(json.dumps(RECORD | changed))


# From what ranks recorded


def test_one_rank_is_taken_as_it_is() -> None:
    assert from_records([record()]) == measured()


def test_of_several_ranks_the_largest_figure_counts() -> None:
    other = {**PHASES, "backward": (8 * GIB, 12 * GIB)}
    slower = [{**step, "seconds": 9.0, "shape": [1, 10]} for step in STEPS]
    found = from_records([record(), record(phases=other, steps=slower, context=GIB)])
    assert found.phases["backward"] == (9 * GIB, 12 * GIB)
    assert found.context_bytes == GIB
    assert {step.seconds for step in found.steps} == {9.0}
    assert found.steps[2].shape == (2, 100)
    assert found.steps[2].tokens == 2000  # a step's tokens are those of all ranks already


@pytest.mark.parametrize(
    ("failed", "place"),
    [
        ([3, "backward"], "step 3, backward"),
        ([4, "evaluate"], "evaluate"),
        ([1, "load"], "load"),
        (None, "load"),
    ],
)
def test_where_memory_ran_out(failed: list[Any] | None, place: str) -> None:
    facts = {"failed_in": failed} if failed else {}
    assert from_records([record(), record(exit=76, **facts)]).failed_in == place


def test_a_rank_that_recorded_little() -> None:
    found = from_records([{"exit": 76, "phases": {}, "steps": []}])
    assert (found.phases, found.steps, found.context_bytes) == ({}, (), None)
    assert found.failed_in == "load"


# Memory


def test_what_was_measured_stands_in_place_of_what_was_predicted() -> None:
    memory = measured_memory(predicted(), measured())
    peak = 10 * GIB + GIB // 2
    assert (memory.peak_bytes, memory.allocated_peak_bytes) == (peak, 9 * GIB)
    assert (memory.low_bytes, memory.high_bytes) == (round(0.99 * peak), round(1.01 * peak))
    assert (memory.reserved_peak_bytes, memory.moment) == (10 * GIB, "backward")
    assert memory.expected_peak_bytes == 8 * GIB + GIB // 2  # until the end of the second step
    assert memory.context_bytes == GIB // 2
    assert memory.phases == {"load": 4 * GIB, "train": 9 * GIB, "evaluate": 5 * GIB}
    assert (memory.phase, memory.method, memory.verdict) == ("train", "measured", "fits")
    assert (memory.parts, memory.note) == (predicted().parts, "")


@pytest.mark.parametrize(
    ("free", "verdict"), [(10.61, "fits"), (10.60, "tight"), (10.40, "tight"), (10.39, "no")]
)
def test_the_verdict_is_by_what_was_measured(free: float, verdict: str) -> None:
    memory = measured_memory(predicted(free_bytes=round(free * GIB)), measured())
    assert memory.verdict == verdict


def test_out_of_memory_does_not_fit_however_much_is_free() -> None:
    memory = measured_memory(predicted(), measured(failed_in="step 3, backward"))
    assert memory.verdict == "no"
    assert memory.low_bytes == memory.peak_bytes == 10 * GIB + GIB // 2
    assert memory.high_bytes == 12 * GIB
    assert "memory ran out in step 3, backward" in memory.note


def test_host_memory_that_runs_out_leaves_the_cards_figures_predicted() -> None:
    found = measured(phases={}, steps=(), failed_in="load")
    memory = measured_memory(predicted(), found)
    assert (memory.verdict, memory.note) == ("no", "host memory ran out in load")
    assert memory.peak_bytes == 11 * GIB


def test_a_context_that_is_not_told_stays_the_predicted_one() -> None:
    memory = measured_memory(predicted(), measured(context_bytes=None, context_from=""))
    assert (memory.peak_bytes, memory.context_bytes) == (11 * GIB, GIB)
    assert memory.note == "the context is predicted: the driver does not tell it"


def test_a_cache_given_back_is_said() -> None:
    assert "gave its cache back once" in measured_memory(predicted(), measured(retries=1)).note
    assert "3 times" in measured_memory(predicted(), measured(retries=3)).note


def test_a_model_that_cannot_be_predicted_can_be_measured() -> None:
    unknown = predicted(
        verdict="unknown",
        phase=None,
        peak_bytes=None,
        low_bytes=None,
        high_bytes=None,
        allocated_peak_bytes=None,
        context_bytes=None,
        phases={},
        method="none",
    )
    memory = measured_memory(unknown, measured())
    assert (memory.verdict, memory.peak_bytes) == ("fits", 10 * GIB + GIB // 2)


def test_on_the_cpu_the_prediction_stays() -> None:
    assert measured_memory(predicted(), measured(phases={})) == predicted()


def test_programs_read_all_of_it() -> None:
    shown = json.loads(json.dumps(measured().as_json()))
    assert shown["phases"]["forward"] == {
        "allocated_bytes": 7 * GIB,
        "reserved_bytes": 8 * GIB,
    }
    assert shown["steps"][2] == {"seconds": 3.0, "tokens": 2000, "micro_batch": [2, 100]}
    assert shown["evaluation"]["tokens"] == 100
    assert (shown["out_of_memory"], shown["context_from"]) == (None, "driver")
    assert measured(evaluation=None, context_from="").as_json()["evaluation"] is None


# Speed


def test_the_rate_is_the_second_steps(plan: Plan) -> None:
    speed = measured_speed(Speed(tokens=60_000, note="guessed"), measured(), plan, None)
    assert speed.tokens_per_second == 500  # 1,000 tokens in 2 s
    total = plan.train.total_steps
    assert total is not None and plan.facts.mean_tokens is not None
    evaluations = total // plan.train.eval_steps
    evaluated = (plan.data.eval_rows or 0) * plan.facts.mean_tokens * 0.5 / 100
    assert evaluations > 0
    assert speed.seconds == pytest.approx(120 + evaluations * evaluated)
    assert (speed.low, speed.high, speed.cost, speed.measured) == (None, None, None, True)


def test_it_costs_what_the_hours_cost(plan: Plan) -> None:
    speed = measured_speed(Speed(tokens=1_800_000), measured(evaluation=None), plan, 2.5)
    assert (speed.seconds, speed.cost) == (3600, 2.5)


def test_without_known_lengths_steps_are_counted(plan: Plan) -> None:
    speed = measured_speed(Speed(), measured(evaluation=None), plan, None)
    assert plan.train.total_steps is not None
    assert speed.seconds == 2 * plan.train.total_steps


def test_a_run_that_died_early_or_compiles_keeps_the_estimate(plan: Plan) -> None:
    guess = Speed(tokens=10, tokens_per_second=5.0, note="guessed")
    one = measured(steps=(Step(1.0, 10),))
    assert measured_speed(guess, one, plan, None) == guess
    train = plan.train.model_copy(update={"compile": True})
    compiles = plan.model_copy(update={"train": train})
    assert measured_speed(guess, measured(), compiles, None) == guess


# What is kept of it


def test_the_residual_is_measured_over_predicted(plan: Plan) -> None:
    found = residual(predicted(allocated_peak_bytes=10 * GIB), measured(), plan)
    assert found is not None
    assert (found.allocated, found.reserved) == (0.9, 1.0)
    assert found.predicted_bytes == 10 * GIB
    assert (found.method, found.predicted_by, found.ftspec) == ("lora", "tape", __version__)


@pytest.mark.parametrize(
    "found",
    [measured(failed_in="step 1, forward"), measured(retries=1), measured(phases={})],
    ids=["out-of-memory", "retries", "cpu"],
)
def test_what_shows_less_than_is_needed_is_not_kept(found: Any, plan: Plan) -> None:
    assert residual(predicted(), found, plan) is None


def test_a_ratio_beyond_all_bounds_is_not_kept(plan: Plan) -> None:
    small = predicted(peak_bytes=GIB + 2**20, allocated_peak_bytes=2**20)
    assert residual(small, measured(), plan) is None
    assert residual(predicted(peak_bytes=GIB), measured(), plan) is None


def test_what_was_not_predicted_has_no_residual(plan: Plan) -> None:
    assert residual(predicted(peak_bytes=None), measured(), plan) is None
