"""Rules on gradients, learning rates, scales and speed: found where made, silent elsewhere."""

from __future__ import annotations

import json
import math
import random

import pytest

from ftspec.spec.finding import Severity


def state(rows: list[dict[str, object]], **keys: object) -> str:
    """Write a trainer_state.json; steps of ten where none are given."""
    numbered = [{"step": (place + 1) * 10, **row} for place, row in enumerate(rows)]
    return json.dumps({**keys, "log_history": numbered})


def names(diagnosed) -> set[str]:
    return {item.name for item in diagnosed.findings}


def loud(diagnosed) -> set[str]:
    return {i.name for i in diagnosed.findings if i.severity.at_least(Severity.WARNING)}


def rows_of(losses, norms=None, rates=None) -> list[dict[str, object]]:
    rows = [{"loss": loss} for loss in losses]
    for place, row in enumerate(rows):
        if norms is not None:
            row["grad_norm"] = norms[place]
        if rates is not None:
            row["learning_rate"] = rates[place]
    return rows


@pytest.mark.parametrize("seed", range(6))
def test_gradients_of_healthy_runs_are_no_finding(seed, make_decay, diagnosed) -> None:
    source = random.Random(seed)
    norms = [source.lognormvariate(0, 0.4) for _ in range(80)]
    norms[3], norms[41] = 72.0, 30.0  # in warm-up, and once later
    log = state(rows_of(make_decay(80, 2.4, 1.2, seed, 0.05), norms))
    assert not loud(diagnosed(log))


@pytest.mark.parametrize("seed", range(6))
def test_growing_gradients_are_found_where_the_loss_does_not_fall(
    seed, make_decay, diagnosed
) -> None:
    source = random.Random(seed)
    norms = [source.lognormvariate(0, 0.2) for _ in range(40)]
    norms += [1.2**place * source.lognormvariate(0, 0.2) for place in range(40)]
    still = make_decay(40, 2.4, 1.2, seed, 0.01) + [1.2 + source.gauss(0, 0.01) for _ in range(40)]
    assert "grad-explosion" in loud(diagnosed(state(rows_of(still, norms))))
    falling = [3 * 0.97**place for place in range(80)]
    assert not loud(diagnosed(state(rows_of(falling, norms))))


def test_gradients_that_go_with_the_loss_have_not_vanished(diagnosed) -> None:
    norms = [2.0 * 0.8**place for place in range(60)]
    low = [0.4 + 2 * 0.8**place for place in range(60)]
    assert "grad-vanishing" not in names(diagnosed(state(rows_of(low, norms))))
    high = [2.1 + 0.2 * 0.5**place for place in range(60)]
    assert "grad-vanishing" in loud(diagnosed(state(rows_of(high, norms))))


def test_a_scaler_that_finds_its_scale_is_no_finding(make_decay, diagnosed) -> None:
    losses = make_decay(40, 2.4, 1.2, 1, 0.02)
    early = [math.inf] * 4 + [1.0] * 36
    once = [1.0] * 20 + [math.nan] + [1.0] * 19
    often = [1.0, 1.0, math.nan, 1.0] * 10
    assert not loud(diagnosed(state(rows_of(losses, early))))
    assert not loud(diagnosed(state(rows_of(losses, once))))
    assert loud(diagnosed(state(rows_of(losses, often)))) == {"grad-nan"}


def test_gradients_of_zero_are_dead(diagnosed) -> None:
    source = random.Random(3)
    losses = [2.1 + source.gauss(0, 0.05) for _ in range(30)]
    found = diagnosed(state(rows_of(losses, [0.0] * 30, [2e-4] * 30)))
    assert loud(found) == {"dead-gradient"}


@pytest.mark.parametrize("seed", range(6))
def test_steps_that_should_have_moved_the_loss(seed, diagnosed) -> None:
    source = random.Random(seed)
    losses = [2.1 + source.gauss(0, 0.004) for _ in range(80)]
    wired = diagnosed(state(rows_of(losses, [1.0] * 80, [2e-4] * 80)))
    assert loud(wired) == {"dead-gradient"}
    slow = diagnosed(state(rows_of(losses, [1.0] * 80, [2e-7] * 80)))
    assert loud(slow) == {"flat"}


@pytest.mark.parametrize("seed", range(6))
def test_losses_alike_by_chance_are_no_dead_gradient(seed, diagnosed) -> None:
    source = random.Random(seed)
    losses = [round(1.5 + source.gauss(0, 0.1), 2) for _ in range(120)]
    assert "dead-gradient" not in names(diagnosed(state(rows_of(losses))))


def test_a_rate_rounded_to_zero_is_none(make_decay, diagnosed) -> None:
    falling = make_decay(30, 2.4, 1.2, 1, 0.02)
    assert "lr-zero" not in names(diagnosed(state(rows_of(falling, None, [0.0] * 30))))
    still = [2.4 + random.Random(1).gauss(0, 0.02) for _ in range(30)]
    assert loud(diagnosed(state(rows_of(still, None, [0.0] * 30)))) == {"lr-zero"}


@pytest.mark.parametrize("rate", [2e-3, 20.0])
def test_a_start_up_transient_is_no_high_rate(rate, make_decay, diagnosed) -> None:
    losses = [6.9, 16.8, 14.0, 9.0, 7.0, *make_decay(60, 6.0, 2.0, 2, 0.02)]
    found = diagnosed(state(rows_of(losses, None, [rate] * len(losses))))
    assert "lr-too-high" not in names(found)


@pytest.mark.parametrize("size", [12, 48, 100])
def test_noise_about_a_slow_fall_is_no_detour(size, diagnosed) -> None:
    for seed in range(20):
        source = random.Random(seed)
        fall = [2.5 * (1 - 0.2 * place / size) for place in range(size)]
        losses = [level * (1 + source.gauss(0, 0.12)) for level in fall]
        found = diagnosed(state(rows_of(losses, None, [2e-4] * size)))
        assert "lr-too-high" not in names(found)


def test_an_absurd_rate_is_said_beside_the_divergence(diagnosed) -> None:
    losses = [1.64, 11.8, 11.6, *[10.37] * 7]
    found = diagnosed(state(rows_of(losses, None, [5.0] * 10)))
    assert loud(found) == {"diverges", "lr-too-high"}


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ([2e-4 * (1 - place / 40) for place in range(40)], False),
        ([2e-4 * (1 - (place % 20) / 20) for place in range(40)], True),  # once more
        ([2e-4 * (1 - (place % 8) / 8) for place in range(40)], False),  # a schedule of restarts
        ([2e-4 * min(1, place / 4) for place in range(40)], False),
        ([2e-4] * 25 + [0.0] * 15, True),
        ([2e-4] * 20 + [2e-5] * 20, False),
        # the peak was not logged before the rate began anew
        (
            [1.9e-4 - 4e-6 * place for place in range(30)]
            + [2e-5, 8e-5, 1.4e-4, 2e-4, *[1.9e-4] * 6],
            True,
        ),
    ],
)
def test_courses_of_the_learning_rate(rates, expected, make_decay, diagnosed) -> None:
    losses = make_decay(40, 2.4, 1.2, 1, 0.02)
    found = diagnosed(state(rows_of(losses, None, rates)))
    assert ("lr-schedule" in names(found)) is expected


def schedule_of(diagnosed) -> list[str]:
    return [i.evidence["kind"] for i in diagnosed.findings if i.name == "lr-schedule"]


def test_many_restarts_are_a_schedule_unless_its_name_has_none(
    make_decay, make_events, diagnosed
) -> None:
    losses = make_decay(40, 2.4, 1.2, 1, 0.02)
    log = make_events(losses, rates=[2e-4 * (1 - (place % 8) / 8) for place in range(40)])
    spec = "model: tiny\nmethod: lora\ndata: rows.jsonl\ntrain:\n  scheduler: {}\n"
    assert schedule_of(diagnosed(log)) == []
    assert schedule_of(diagnosed(log, spec.format("linear"))) == ["restart"]
    assert schedule_of(diagnosed(log, spec.format("cosine_with_restarts"))) == []


def test_a_rise_that_mirrors_the_fall_is_no_lost_state(make_decay, diagnosed) -> None:
    losses = make_decay(60, 2.4, 1.2, 1, 0.02)
    cosine = [1e-4 * (1 + math.cos(math.pi * place / 40)) for place in range(60)]
    assert schedule_of(diagnosed(state(rows_of(losses, None, cosine)))) == ["round"]
    late = [*cosine[:38], *(2e-4 * share for share in (0.1, 0.3, 0.5, 0.7, 0.9)), *[2e-4] * 17]
    assert schedule_of(diagnosed(state(rows_of(losses, None, late)))) == ["restart"]


def test_a_rate_that_only_rises_is_a_warm_up_of_a_finished_run_alone(
    make_decay, make_events, diagnosed
) -> None:
    rates, end = [1e-6 * (place + 1) for place in range(30)], json.dumps({"event": "end"}) + "\n"
    log = make_events(make_decay(30, 2.4, 2.35, 1, 0.005), rates=rates)
    assert schedule_of(diagnosed(log)) == []  # it may still go on
    assert schedule_of(diagnosed(log + end)) == ["warm-up"]
    assert "lr-schedule" in loud(diagnosed(log + end))
    learnt = diagnosed(make_events(make_decay(30, 2.4, 1.4, 1, 0.02), rates=rates) + end)
    assert schedule_of(learnt) == ["warm-up"] and not loud(learnt)


@pytest.mark.parametrize(
    ("held_out", "dead"),
    [
        ([2.6137] * 3, True),
        ([2.6137] * 2, False),  # two may be alike by chance
        ([2.6137, 2.6137, 2.6136], False),
        ([2.6] * 4, False),  # two digits are alike soon
        ([0.01234] * 4, False),  # nothing left to learn
    ],
)
def test_held_out_loss_alike_digit_for_digit(
    held_out, dead, make_decay, make_events, diagnosed
) -> None:
    log = make_events(make_decay(30, 2.7, 2.5, 1, 0.03), held_out)
    assert ("dead-gradient" in loud(diagnosed(log))) is dead


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("risen", "expected"), [(8, False), (24, True)])
def test_a_loss_that_is_long_above_its_start(risen, expected, seed, diagnosed) -> None:
    source = random.Random(seed)
    course = [3.2] * risen + [3.2 * 0.97 ** (place + 1) for place in range(57 - risen)]
    losses = [2.7 + source.gauss(0, 0.04) for _ in range(3)]
    losses += [level + source.gauss(0, 0.04) for level in course]
    rates = [6e-3 * (1 - place / 60) for place in range(60)]
    found = diagnosed(state(rows_of(losses, None, rates)))
    assert ("lr-too-high" in loud(found)) is expected
    assert "lr-too-high" not in names(diagnosed(state(rows_of(losses))))  # no rate is known


def with_evals(losses, evals, **keys: object) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for place, loss in enumerate(losses):
        rows.append({"loss": loss, "step": place + 1})
        if (place + 1) % (len(losses) // len(evals)) == 0:
            rows.append({"eval_loss": evals[len(rows) // 5 % len(evals)], "step": place + 1})
    return rows


@pytest.mark.parametrize(("times", "level"), [(1.0, None), (4.0, "info"), (10.0, "warning")])
def test_scales_of_the_two_losses(times, level, make_decay, diagnosed) -> None:
    losses = [times * loss for loss in make_decay(40, 1.6, 1.2, 1, 0.01)]
    rows = with_evals(losses, make_decay(10, 1.4, 1.25, 2, 0.002))
    found = [i for i in diagnosed(state(rows)).findings if i.name == "scale-mismatch"]
    assert [item.severity.value for item in found] == ([level] if level else [])


def test_a_sum_over_accumulation_is_named(make_decay, make_events, diagnosed) -> None:
    losses = [8 * loss for loss in make_decay(40, 1.6, 1.2, 1, 0.01)]
    evals = make_decay(5, 1.4, 1.2, 2, 0.002)
    log = make_events(losses, evals, accumulation=8, micro_batch=2)
    assert loud(diagnosed(log)) == {"loss-scale"}
    assert "loss-scale" not in names(diagnosed(make_events(losses, evals, accumulation=4)))


@pytest.mark.parametrize("steps", [4, 2])
def test_a_sum_is_named_where_epochs_are_printed_and_the_spec_knows_the_steps(
    steps, make_decay, diagnosed
) -> None:
    lines = []
    for place, loss in enumerate(make_decay(40, 1.6, 1.2, 1, 0.01), 1):
        lines.append(f"{{'loss': '{4 * loss:.4g}', 'epoch': '{place / 10:.4g}'}}")
        if place % 8 == 0:
            lines.append(f"{{'eval_loss': '{loss:.4g}', 'epoch': '{place / 10:.4g}'}}")
    spec = "model: tiny\nmethod: lora\ndata: rows.jsonl\ntrain:\n  batch_size: 4\n"
    found = diagnosed("\n".join(lines) + "\n", f"{spec}  gradient_accumulation: {steps}\n")
    assert ("loss-scale" in names(found)) is (steps == 4)


def test_a_loss_that_stays_above_any_guess(make_decay, diagnosed) -> None:
    stays = diagnosed(state(rows_of(make_decay(30, 69.0, 40.0, 1, 0.01))))
    assert "loss-scale" in loud(stays)
    begins = diagnosed(state(rows_of(make_decay(30, 25.0, 4.0, 1, 0.01))))
    assert "loss-scale" not in loud(begins)


@pytest.mark.parametrize("seed", range(4))
def test_a_run_that_becomes_slower(seed, make_decay, diagnosed) -> None:
    source = random.Random(seed)
    rows = rows_of(make_decay(80, 2.4, 1.2, seed, 0.02))
    for place, row in enumerate(rows):
        row["train_tokens_per_second"] = source.gauss(9000, 900) * (1.0 if place < 50 else 0.55)
    found = diagnosed(state(rows))
    (finding,) = [item for item in found.findings if item.name == "throughput-drop"]
    assert 480 <= finding.evidence["steps"][0] <= 540
    for row in rows:
        row["train_tokens_per_second"] = source.gauss(9000, 2500)
    assert "throughput-drop" not in names(diagnosed(state(rows)))
