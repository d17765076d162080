"""Rules on what a run went through: its end, its seams, its rewards; and which finding is said."""

from __future__ import annotations

import json
import math
import random

import pytest

from ftspec.doctor.curves.columns import Record
from ftspec.doctor.curves.rules import CURVE_RULES
from ftspec.doctor.curves.rules.causes import EXPLAINED_BY
from ftspec.doctor.curves.rules.judge import LONG, find_all
from ftspec.doctor.curves.rules.staircase import staircase
from ftspec.doctor.curves.series import Records, Run
from ftspec.doctor.prescribe import REMEDIES, WAITS_FOR
from ftspec.spec.finding import Severity


def state(rows: list[dict[str, object]], **keys: object) -> str:
    numbered = [{"step": (place + 1) * 10, **row} for place, row in enumerate(rows)]
    return json.dumps({**keys, "log_history": numbered})


def loud(diagnosed) -> set[str]:
    return {i.name for i in diagnosed.findings if i.severity.at_least(Severity.WARNING)}


def names(diagnosed) -> set[str]:
    return {item.name for item in diagnosed.findings}


@pytest.mark.parametrize("seed", range(6))
def test_a_resume_that_goes_on_is_no_finding(seed, make_decay, diagnosed) -> None:
    losses = make_decay(80, 2.4, 1.2, seed, 0.05)
    rows = [{"loss": loss, "step": place} for place, loss in enumerate(losses[:50])]
    rows += [{"loss": loss, "step": 45 + place} for place, loss in enumerate(losses[45:])]
    assert not loud(diagnosed(state(rows)))


@pytest.mark.parametrize("seed", range(6))
def test_a_resume_that_does_not_go_on(seed, make_decay, diagnosed) -> None:
    rows = [
        {"loss": loss, "step": place}
        for place, loss in enumerate(make_decay(50, 2.4, 1.2, seed, 0.03))
    ]
    again = make_decay(50, 1.9, 1.15, seed, 0.03)
    rows += [{"loss": loss, "step": 40 + place} for place, loss in enumerate(again)]
    assert loud(diagnosed(state(rows))) == {"resume-discontinuity"}


def test_several_runs_explain_what_their_seams_show(make_decay, diagnosed) -> None:
    rows = []
    for seed in range(3):
        rates = [2e-4 * (1 - place / 30) for place in range(30)]
        losses = make_decay(30, 2.4, 1.2, seed, 0.03)
        rows += [
            {"loss": loss, "step": place + 1, "learning_rate": rate}
            for place, (loss, rate) in enumerate(zip(losses, rates, strict=True))
        ]
    assert loud(diagnosed(state(rows))) == {"several-runs"}


def test_out_of_memory_explains_the_rest(make_events, diagnosed) -> None:
    failed = {"event": "out-of-memory", "phase": "evaluate", "step": 30, "message": "CUDA …"}
    log = make_events([2.3, 2.2, 2.1], total_steps=900) + json.dumps(failed) + "\n"
    found = diagnosed(log)
    assert names(found) == {"oom"}
    assert "in an evaluation" in found.findings[0].title
    went_on = make_events([2.3, 2.2]).replace("\n", f"\n{json.dumps(failed)}\n", 1)
    went_on += "".join(make_events([2.0 - place / 50 for place in range(20)]).split("\n", 1)[1])
    assert "oom" not in loud(diagnosed(went_on))


def test_a_log_that_ends_early_says_so(diagnosed) -> None:
    rows = [{"loss": 2.0 - place / 50} for place in range(20)]
    assert "interrupted" in names(diagnosed(state(rows, max_steps=900)))
    assert "interrupted" not in names(diagnosed(state(rows, max_steps=200)))
    ended = [*rows, {"train_runtime": 4.0, "train_loss": 1.8}]
    assert "interrupted" not in names(diagnosed(state(ended, max_steps=900)))


@pytest.mark.parametrize("seed", range(6))
def test_evaluations_that_stand_still_in_their_noise(seed, make_decay, make_events, diagnosed):
    source = random.Random(seed)
    noisy = [1.5 + source.gauss(0, 0.02) for _ in range(24)]
    losses = make_decay(96, 2.4, 1.3, seed, 0.03)
    assert "early-stop-missed" not in loud(diagnosed(make_events(losses, noisy)))
    best_first = [1.6, 1.5, 1.45, 1.42] + [1.4275 + source.gauss(0, 0.0006) for _ in range(20)]
    assert "early-stop-missed" in loud(diagnosed(make_events(losses, best_first)))


@pytest.mark.parametrize(("epochs", "name"), [(1.0, "suspicious-low"), (6.0, "memorises")])
def test_a_low_loss_is_told_apart_by_how_often_rows_were_seen(
    epochs, name, make_events, diagnosed
) -> None:
    losses = [2.4 * math.exp(-place / 8) + 0.004 for place in range(60)]
    assert loud(diagnosed(make_events(losses, epochs=epochs))) == {name}


def test_a_classifier_may_have_a_low_loss(make_decay, make_events, diagnosed) -> None:
    losses = make_decay(60, 0.69, 0.025, 1, 0.05)
    assert not loud(diagnosed(make_events(losses, make_decay(6, 0.3, 0.06, 2, 0.02))))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("known", [True, False])
def test_staircases(seed, known, make_decay) -> None:
    source = random.Random(seed)
    levels = [1.1] * 60 + [0.73] * 60 + [0.43] * 60
    losses = [level * (1 + source.gauss(0, 0.05)) for level in levels]
    epochs = [(place + 1) / 60 if known else None for place in range(180)]
    curve = [Record(loss=loss, epoch=epoch) for loss, epoch in zip(losses, epochs, strict=True)]
    found = staircase(curve, losses)
    assert found is not None
    assert [round(level, 1) for level in found] == [1.1, 0.7, 0.4]
    smooth = make_decay(180, 2.0, 0.5, seed, 0.05)
    assert staircase(curve, smooth) is None


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("k", [2, 4, 32_000, 128_256])
def test_chance_level(seed, k, diagnosed) -> None:
    source = random.Random(seed)
    losses = [math.log(k) + source.gauss(0, 0.004) for _ in range(30)]
    (finding,) = [
        i
        for i in diagnosed(state([{"loss": x} for x in losses])).findings
        if i.severity is Severity.WARNING
    ]
    assert finding.name == "chance-level"
    assert finding.evidence["k"] == k


def test_a_classifier_that_has_learnt_down_to_chance_of_fewer(make_decay, diagnosed) -> None:
    losses = make_decay(40, 2.3, math.log(2), 1, 0.005)  # ten classes; ends at ln 2 by chance
    assert not loud(diagnosed(state([{"loss": loss} for loss in losses])))


def rewarded(rewards, **columns) -> str:
    source = random.Random(1)
    rows = []
    for place, reward in enumerate(rewards):
        row = {"loss": source.gauss(0, 1e-3), "reward": reward}
        rows.append({**row, **{name: values[place] for name, values in columns.items()}})
    return state(rows)


@pytest.mark.parametrize("seed", range(6))
def test_a_policy_that_learns_is_no_finding(seed, diagnosed) -> None:
    source = random.Random(seed)
    rewards = [0.1 + 0.6 * (1 - math.exp(-i / 30)) + source.gauss(0, 0.05) for i in range(120)]
    kl = [0.001 * place for place in range(120)]
    length = [400 - place for place in range(120)]
    found = diagnosed(
        rewarded(rewards, kl=kl, **{"completions/mean_length": length, "reward_std": [0.2] * 120})
    )
    assert not loud(found)


def test_policies_that_do_not_learn(diagnosed) -> None:
    source = random.Random(4)
    noise = [source.gauss(0, 0.02) for _ in range(90)]
    flat = [0.4 + x for x in noise]
    assert loud(diagnosed(rewarded(flat))) == {"reward-flat"}
    alike = diagnosed(rewarded(flat, frac_reward_zero_std=[0.95] * 90))
    assert loud(alike) == {"no-reward-variance"}
    lost = [0.1 + 0.5 * min(i / 30, 1) - 0.5 * max(0, (i - 50) / 40) + noise[i] for i in range(90)]
    assert loud(diagnosed(rewarded(lost))) == {"rl-collapse"}
    kl = [0.02] * 50 + [0.02 * 1.2**place for place in range(40)]
    blown = diagnosed(rewarded(flat, kl=kl))
    assert loud(blown) == {"rl-collapse"}
    assert blown.findings[0].evidence["kind"] == "kl"


def test_a_long_run_is_judged_on_less(make_decay) -> None:
    losses = make_decay(3 * LONG, 2.4, 1.2, 1, 0.05)
    losses[2 * LONG] = math.nan
    run = Run("long", "made", Records.of(Record(i + 1.0, loss=x) for i, x in enumerate(losses)))
    found = {item.name: item for item in find_all(run)}
    assert set(found) == {"nan", "no-eval"}
    assert found["nan"].evidence["steps"] == [2 * LONG + 1.0] * 2


def test_tables_speak_of_rules_that_exist() -> None:
    known = {rule.name for rule in CURVE_RULES}
    for table in (EXPLAINED_BY, WAITS_FOR):
        assert set(table) <= known
        assert {name for others in table.values() for name in others} <= known
    assert set(REMEDIES) <= known


def test_no_finding_waits_for_one_that_waits_for_it() -> None:
    order = list(REMEDIES)
    for name, others in WAITS_FOR.items():
        assert name not in others
        if name in order:
            for other in others:
                assert order.index(other) < order.index(name), (name, other)
    for name, others in EXPLAINED_BY.items():
        for other in others:
            assert name not in EXPLAINED_BY.get(other, ()), (name, other)
