"""Two runs beside each other: verdicts on curves of a known difference."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from ftspec.doctor.compare import Comparison, compare
from ftspec.doctor.curves.series import EvalRecord, Record, Run
from ftspec.doctor.diagnose import Diagnosed, Diagnosis, diagnose_run
from ftspec.doctor.overlay import comparison_text, duration, short_names
from ftspec.doctor.resample import mean_of_pairs, of_ends, of_lowest

EVALS = [1.9, 1.6, 1.45, 1.36, 1.31, 1.28, 1.26, 1.25, 1.245, 1.243]


def make(
    name: str,
    offset: float = 0.0,
    evals: Sequence[float] = EVALS,
    *,
    seed: int = 0,
    noise: float = 0.02,
    size: int = 200,
    every: int = 10,
    scale: float = 1.0,
) -> Diagnosed:
    """Make a run that falls from 2.5 to about 1.2; an offset grows to its full size at the end."""
    source = random.Random(seed)
    train = [
        Record(
            step=float((n + 1) * every),
            loss=scale
            * (1.2 + 1.3 * math.exp(-6 * n / size) + offset * n / size + source.gauss(0, noise)),
        )
        for n in range(size)
    ]
    gap = size * every / max(1, len(evals))
    held_out = [
        EvalRecord(step=round((n + 1) * gap), loss=scale * (loss + offset))
        for n, loss in enumerate(evals)
    ]
    return diagnose_run(Run(name, "made", tuple(train), tuple(held_out)))


def comparison(*runs: Diagnosed) -> Comparison:
    found = compare(Diagnosis(runs))
    assert found is not None
    return found


def noisy(seed: int, size: int = 12, fades: float = 0.0) -> list[float]:
    """Return evaluations with noise of 0.02 that keeps a share of itself from one to the next."""
    source, noise, losses = random.Random(seed), 0.0, []
    for n in range(size):
        noise = fades * noise + source.gauss(0, 0.02) * (1 - fades**2) ** 0.5
        losses.append(1.2 + 0.8 * math.exp(-5 * n / size) + noise)
    return losses


def test_one_run_is_not_compared() -> None:
    assert compare(Diagnosis((make("a"),))) is None
    assert compare(Diagnosis((make("a"), Diagnosed(Run("empty", "made"), ())))) is None


def test_held_out_loss_decides_and_says_by_how_much() -> None:
    found = comparison(make("a", 0.1, seed=1), make("b", seed=2))
    (verdict,) = found.verdicts
    assert (verdict.better, verdict.by, verdict.exceeds_noise) == (1, "held-out loss", True)
    assert verdict.difference == pytest.approx(0.1)
    assert verdict.interval is not None and verdict.interval.low <= 0.1 <= verdict.interval.high
    assert found.best == 1
    swapped = comparison(make("b", seed=2), make("a", 0.1, seed=1)).verdicts[0]
    assert swapped.better == 0
    assert swapped.interval is not None and swapped.interval.low > 0


def test_a_difference_within_noise_is_none() -> None:
    found = comparison(make("a", evals=noisy(1), seed=1), make("b", evals=noisy(2), seed=2))
    (verdict,) = found.verdicts
    assert (verdict.better, verdict.exceeds_noise) == (None, False)
    assert "no difference beyond noise" in comparison_text(found)


@pytest.mark.parametrize(
    ("size", "fades", "most"), [(8, 0.0, 7), (12, 0.0, 7), (12, 0.5, 18), (60, 0.5, 7)]
)
def test_twins_are_seldom_told_apart(size: int, fades: float, most: int) -> None:
    """Of 50 pairs; `docs/doctor.md` says where noise that hangs together is taken too small."""
    beyond = 0
    for seed in range(0, 100, 2):
        interval = of_lowest(noisy(seed, size, fades), noisy(seed + 1, size, fades))
        beyond += interval.low > 0 or interval.high < 0
    assert beyond <= most


def test_intervals_of_means_cover_the_truth() -> None:
    missed = 0
    for seed in range(100):
        source = random.Random(seed)
        one = [source.gauss(1.0, 0.1) for _ in range(20)]
        other = [source.gauss(1.05, 0.1) for _ in range(20)]
        paired = [b - a for a, b in zip(one, other, strict=True)]
        for interval in (of_ends(one, other), mean_of_pairs(paired, sum(paired) / 20)):
            missed += not interval.low <= 0.05 <= interval.high
    assert missed <= 18  # of 200


def test_few_evaluations_leave_noise_unknown() -> None:
    found = comparison(make("a", 0.1, EVALS[-2:]), make("b", 0.0, EVALS[-2:], seed=3))
    (verdict,) = found.verdicts
    assert (verdict.better, verdict.exceeds_noise, verdict.interval) == (1, None, None)
    assert any("noise cannot be measured" in reason for reason in verdict.reasons)
    assert "whether beyond noise cannot be told" in " ".join(comparison_text(found).split())


def test_training_loss_is_said_to_be_weaker() -> None:
    found = comparison(make("a", 0.2, ()), make("b", 0.0, (), seed=4))
    (verdict,) = found.verdicts
    assert (verdict.better, verdict.by, verdict.exceeds_noise) == (1, "training loss", True)
    assert "weaker" in verdict.reasons[0]
    one = comparison(make("a", 0.2, ()), make("b", seed=4)).verdicts[0]
    assert one.reasons[0].startswith("a has no held-out loss")


def test_training_loss_is_compared_at_the_shorter_one_s_end() -> None:
    short, long = make("short", evals=(), size=100), make("long", evals=(), size=300, seed=5)
    (verdict,) = comparison(short, long).verdicts
    assert "long ran 3.0 times as many steps" in verdict.reasons
    assert verdict.better == 0  # the long one has come less far by then


def test_steps_that_never_meet_are_compared_by_their_ends() -> None:
    (verdict,) = comparison(
        make("a", 0.3, ()), make("b", 0.0, (), every=7, size=300, seed=4)
    ).verdicts
    assert verdict.better == 1
    assert "means over the last fifth" in verdict.method


def test_another_scale_of_loss_cannot_be_told() -> None:
    (verdict,) = comparison(make("a"), make("b", scale=4.0, seed=6)).verdicts
    assert (verdict.better, verdict.by) == (None, "")
    assert "another scale of loss" in verdict.reasons[0]


def test_other_held_out_sets_are_not_compared() -> None:
    other = make("b", seed=7)
    evals = tuple(replace(record, name="test") for record in other.run.evals)
    (verdict,) = comparison(make("a"), diagnose_run(replace(other.run, evals=evals))).verdicts
    assert verdict.by == "training loss"
    assert "sets of other names" in verdict.reasons[0]


def test_a_broken_run_loses() -> None:
    sound, broken = make("a", 0.1), make("b", seed=8)
    lost = Record(step=2010.0, loss=math.nan)
    broken = diagnose_run(replace(broken.run, train=(*broken.run.train, lost)))
    (verdict,) = comparison(sound, broken).verdicts
    assert (verdict.better, verdict.by) == (0, "health")
    (verdict,) = comparison(broken, replace(broken, run=replace(broken.run, source="c"))).verdicts
    assert verdict.better is None


def test_the_same_log_twice_is_one_run() -> None:
    (verdict,) = comparison(make("a"), make("copy")).verdicts
    assert verdict.better is None
    assert "one run" in verdict.reasons[0]


def test_rewards_are_not_compared_by_loss() -> None:
    policy = replace(make("a").run, quantities=frozenset({"reward"}))
    (verdict,) = comparison(diagnose_run(policy), make("b")).verdicts
    assert "reinforcement" in verdict.reasons[0]


def test_three_runs_have_a_verdict_on_each_two() -> None:
    found = comparison(make("a", 0.2), make("b", 0.0, seed=2), make("c", 0.4, seed=3))
    assert [verdict.pair for verdict in found.verdicts] == [(0, 1), (0, 2), (1, 2)]
    assert found.best == 1
    text = comparison_text(found, width=70)
    assert "B is better than each other one" in text
    assert all(len(line) <= 70 for line in text.splitlines())
    assert text.isascii()


def test_json_of_a_comparison() -> None:
    shown = json.loads(json.dumps(comparison(make("a", 0.1), make("b", seed=2)).as_json()))
    assert shown["best"] == "b"
    assert shown["runs"][0]["source"] == "a"
    assert shown["verdicts"][0]["runs"] == ["a", "b"]
    assert shown["verdicts"][0]["low"] > 0


def test_huge_losses_are_refused_not_raised() -> None:
    train = tuple(Record(step=float(n), loss=1e300 * (1 + n % 2)) for n in range(40))
    found = compare(Diagnosis((Diagnosed(Run("a", "made", train), ()), make("b"))))
    assert found is not None and found.verdicts[0].better is None
    assert comparison_text(found)


def test_words() -> None:
    assert short_names(["runs/1/a.jsonl", "runs/2/a.jsonl"]) == ["1/a.jsonl", "2/a.jsonl"]
    assert short_names(["a", "a"]) == ["a", "a"]
    assert [duration(t) for t in (None, 30, 840, 7500)] == ["-", "30 s", "14 min", "2 h 05 min"]
