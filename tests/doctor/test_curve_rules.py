"""Rules on curves of many kinds: silent on the healthy, not silent on the others."""

from __future__ import annotations

import math
import random

import pytest

from ftspec.spec.finding import Severity


def names(diagnosed) -> list[str]:
    return [item.name for item in diagnosed.findings if item.severity.at_least(Severity.WARNING)]


def found(diagnosed, name: str):
    """Return the one finding of that name."""
    (finding,) = [item for item in diagnosed.findings if item.name == name]
    return finding


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("size", "noise"), [(30, 0.03), (80, 0.1), (300, 0.05), (150, 0.18)])
def test_an_ordinary_run_is_healthy(size, noise, seed, make_decay, make_events, diagnosed) -> None:
    losses = make_decay(size, 2.6, 1.2, seed, noise)
    evals = make_decay(8, 2.2, 1.3, seed + 1, 0.01)
    assert names(diagnosed(make_events(losses, evals))) == []


@pytest.mark.parametrize("seed", range(8))
def test_epoch_staircases_are_healthy(seed, make_events, diagnosed) -> None:
    source = random.Random(seed)
    levels = [1.10] * 60 + [0.73] * 60 + [0.43] * 60  # Alpaca's, epoch by epoch
    losses = [2.0, 1.6, 1.3] + [level * (1 + source.gauss(0, 0.06)) for level in levels]
    assert names(diagnosed(make_events(losses))) == []


def test_warm_up_is_no_flatness(make_events, diagnosed) -> None:
    rates = [2e-4 * min(1, (place + 1) / 30) for place in range(45)]
    losses = [3.0 - 0.001 * place for place in range(30)] + [
        3.0 - 0.03 * place for place in range(15)
    ]
    assert names(diagnosed(make_events(losses, rates=rates))) == []


@pytest.mark.parametrize("seed", range(8))
def test_a_fast_early_fall_is_healthy(seed, make_decay, make_events, diagnosed) -> None:
    losses = [9.7, 4.1, 2.2, *make_decay(60, 1.3, 1.1, seed, 0.04)]
    assert names(diagnosed(make_events(losses))) == []


@pytest.mark.parametrize("seed", range(8))
def test_noisy_held_out_loss_is_no_overfitting(seed, make_decay, make_events, diagnosed) -> None:
    source = random.Random(seed)
    evals = [1.5 + source.gauss(0, 0.02) for _ in range(12)]
    losses = make_decay(100, 2.4, 1.0, seed, 0.05)
    assert names(diagnosed(make_events(losses, evals))) == []


@pytest.mark.parametrize("seed", range(8))
def test_late_noise_near_zero_is_no_divergence(seed, make_events, diagnosed) -> None:
    source = random.Random(seed)
    losses = [2 * math.exp(-place / 12) + abs(source.gauss(0, 3e-4)) for place in range(150)]
    assert names(diagnosed(make_events(losses))) == ["memorises"]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("noise", [0.02, 0.08])
def test_divergence_is_found(seed, noise, make_decay, make_events, diagnosed) -> None:
    losses = make_decay(60, 2.6, 1.4, seed, noise)
    rising = [1.4 * 1.06**place for place in range(30)]
    assert names(diagnosed(make_events([*losses, *rising]))) == ["diverges"]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("noise", [0.002, 0.01])
def test_flatness_is_found(seed, noise, make_events, diagnosed) -> None:
    source = random.Random(seed)
    losses = [2.5 * (1 + source.gauss(0, noise)) for _ in range(100)]
    assert names(diagnosed(make_events(losses, learning_rate=1e-6))) == ["flat"]


@pytest.mark.parametrize("seed", range(6))
def test_spikes_are_found_and_counted(seed, make_decay, make_events, diagnosed) -> None:
    losses = make_decay(120, 2.4, 1.2, seed, 0.04)
    for place in (40, 80):
        losses[place : place + 2] = [4.4, 2.9]
    judged = diagnosed(make_events(losses))
    assert names(judged) == ["spikes"]
    assert found(judged, "spikes").evidence["count"] == 2
    assert found(judged, "spikes").evidence["spikes"][0]["steps"] == [410.0, 420.0]


def test_one_low_spike_that_is_over_at_once_is_information(make_events, diagnosed) -> None:
    losses = [2.0 - 0.01 * place for place in range(60)]
    losses[30] *= 1.7
    finding = found(diagnosed(make_events(losses)), "spikes")
    assert (finding.name, finding.severity) == ("spikes", Severity.INFO)
    assert finding.prescriptions == ()


def test_a_spike_that_never_comes_back(make_events, diagnosed) -> None:
    losses = [2.0 - 0.01 * place for place in range(60)] + [9.0, 9.1]
    finding = found(diagnosed(make_events(losses)), "spikes")
    assert "does not come back" in finding.title


def test_waves_are_told_from_epochs(make_events, diagnosed) -> None:
    losses = [2.0 - 0.003 * i + 0.4 * math.sin(i * math.tau / 8) for i in range(96)]
    assert names(diagnosed(make_events(losses, epochs=3.0))) == ["oscillates"]
    assert names(diagnosed(make_events(losses, epochs=12.0))) == []  # 8 records are an epoch


def test_overfitting_where_a_task_metric_improves(diagnosed) -> None:
    rows = []
    for place in range(20):
        rows.append({"loss": 1.0 / (place + 1), "step": place * 10 + 10, "epoch": place / 4})
        if place % 4 == 3:
            rows.append(
                {"eval_loss": 0.3 + place / 50, "eval_wer": 40.0 - place, "step": place * 10 + 10}
            )
    judged = diagnosed('{"log_history": ' + str(rows).replace("'", '"') + "}")
    finding = found(judged, "overfits")
    assert finding.evidence["metric_still_better"] == "wer"
    assert finding.confidence < 0.9
    assert finding.severity is Severity.INFO


def test_two_evaluations_cannot_tell(make_decay, make_events, diagnosed) -> None:
    losses = make_decay(60, 2.4, 0.3, 1, 0.02)
    judged = diagnosed(make_events(losses, [1.5, 2.5]))
    assert names(judged) == []
    assert found(judged, "too-short").evidence["not_judged"] == ["overfits"]


def test_a_loss_logged_as_null_is_not_finite(make_events, diagnosed) -> None:
    text = make_events([2.0, 1.9, 1.8]).replace("1.8", "null")
    assert names(diagnosed(text)) == ["nan"]


def test_nan_from_the_first_record_is_told_from_a_later_one(make_events, diagnosed) -> None:
    def from_start(losses: list[float]) -> bool:
        (finding,) = [i for i in diagnosed(make_events(losses)).findings if i.name == "nan"]
        return bool(finding.evidence["from_start"])

    assert from_start([math.nan] * 12)
    assert not from_start([2.0, *[math.nan] * 11])


def test_memorised_zeros_are_no_hidden_nan(make_events, diagnosed) -> None:
    losses = [2.0, 1.0, 0.4, 0.1, 0.02, 0.004, 0.001, 0.0, 0.0, 0.0]
    assert names(diagnosed(make_events(losses))) == ["memorises"]
