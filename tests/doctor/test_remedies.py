"""What each kind of finding is answered with, as patches of a spec."""

from __future__ import annotations

import json
import math

import pytest

from ftspec.doctor.curves.series import Run
from ftspec.doctor.prescribe import REMEDIES, prescribe
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.parse import parse

SPEC = """\
model:
  name: meta-llama/Llama-2-7b-hf
  dtype: float16
method:
  type: lora
  r: 1
  alpha: 160
data:
  train: data/train.jsonl
  max_length: 512
train:
  learning_rate: 2e-4
  epochs: 3
  batch_size: 4
  gradient_accumulation: 4
"""
BEST = {"best_step": 100, "best_epoch": 1.2, "best_loss": 1.4}


def answer(name: str, evidence: dict[str, object], spec: str | None = SPEC) -> list[dict]:
    """Return the patches for one finding, in order, each as path to value."""
    finding = Finding(
        code="FT499", name=name, title=name, severity=Severity.ERROR, evidence=evidence
    )
    typed = parse(spec, "spec").spec if spec else None
    (answered,) = prescribe([finding], Run("x", "made"), typed)
    return [{e.path: e.after for e in remedy.patch} for remedy in answered.prescriptions]


def test_out_of_memory_goes_up_the_ladder() -> None:
    assert answer("oom", {"phase": "train"}) == [
        {"train.activation_checkpointing": True},
        {"train.batch_size": 2, "train.gradient_accumulation": 8},
        {"method.type": "qlora"},
        {"data.max_length": 256},
    ]
    assert answer("oom", {"phase": "evaluate"})[0] == {"train.eval_batch_size": 1}
    assert answer("oom", {"phase": "load"})[0] == {"method.type": "qlora"}
    assert answer("oom", {"phase": "merge"}) == [{}]


def test_nan_in_float16_is_answered_with_bfloat16_first() -> None:
    assert answer("nan", {"steps": [90.0, 90.0]}) == [
        {"model.dtype": "bfloat16"},
        {"train.learning_rate": 2e-5},
        {"method.alpha": 2},
    ]
    without = answer("nan", {"steps": [90.0, 90.0]}, SPEC.replace("float16", "bfloat16"))
    assert without[0] == {"train.learning_rate": 2e-5}


def test_nan_from_the_start_at_a_usual_rate_is_looked_for_in_the_answers_first() -> None:
    spec = SPEC.replace("float16", "bfloat16")
    assert answer("nan", {"steps": [10.0, 90.0], "from_start": True}, spec)[:2] == [
        {"data.max_length": 2048},
        {"train.learning_rate": 2e-5},
    ]
    high = spec.replace("2e-4", "2e-2")
    first, *_ = answer("nan", {"steps": [10.0, 90.0], "from_start": True}, high)
    assert list(first) == ["train.learning_rate"]


def test_no_answer_at_an_open_length_is_the_template() -> None:
    spec = SPEC.replace("  max_length: 512\n", "").replace(
        "  dtype: float16", "  chat_template: own.jinja"
    )
    assert answer("zero-loss", {}, spec) == [{"model.chat_template": None}, {}, {}]
    short = spec.replace("  train: data/train.jsonl", "  train: x.jsonl\n  max_length: 64")
    assert answer("zero-loss", {}, short)[:2] == [
        {"data.max_length": 256},
        {"model.chat_template": None},
    ]


@pytest.mark.parametrize(
    ("name", "rate", "expected"),
    [
        ("flat", "3e-6", 2e-4),
        ("plateau", "3e-6", 2e-4),
        ("flat", "5e-5", 5e-4),  # ten times is above what is usual
        ("plateau", "5e-5", 1.5e-4),
        ("reward-flat", "3e-6", 9e-6),  # rewards want lower rates
    ],
)
def test_a_rate_far_below_the_usual_becomes_the_usual(name, rate, expected) -> None:
    spec = SPEC.replace("2e-4", rate).replace("  r: 1\n", "  r: 16\n")
    patches = answer(name, {}, spec)
    assert {"train.learning_rate": expected} in patches


def test_a_scheduler_is_changed_only_where_it_takes_numbers_of_its_own() -> None:
    spec = SPEC + "  scheduler: {}\n"
    for kind in ("spent", "high", "round", "other"):
        assert answer("lr-schedule", {"kind": kind}, spec.format("cosine")) == [{}]
    stable = answer("lr-schedule", {"kind": "spent"}, spec.format("warmup_stable_decay"))
    assert stable == [{"train.scheduler": "linear"}]
    assert answer("lr-schedule", {"kind": "restart"}, spec.format("linear")) == [{}]
    assert answer("lr-schedule", {"kind": "warm-up"}, SPEC) == [{"train.warmup": 0.03}]


@pytest.mark.parametrize(
    ("name", "evidence", "expected"),
    [
        ("zero-loss", {}, {"data.max_length": 2048}),
        ("plateau", {}, {"method.r": 16}),
        ("chance-level", {"k": 4}, {"train.learning_rate": 2e-3}),
        ("chance-level", {"k": 32_000}, {"train.learning_rate": 2e-5}),
        ("grad-explosion", {}, {"train.learning_rate": 4e-5}),
        ("grad-nan", {}, {"model.dtype": "bfloat16"}),
        ("loss-scale", {}, {"train.gradient_accumulation": 1, "train.batch_size": 16}),
        ("no-warmup", {}, {"train.warmup": 0.1}),
        ("underfits", {}, {"train.epochs": 4.5}),
        ("early-stop-missed", BEST, {"train.early_stopping": True}),
        ("overfits-mild", BEST, {"train.epochs": 1.5}),
    ],
)
def test_the_first_remedy(name, evidence, expected) -> None:
    assert answer(name, evidence)[0] == expected


def test_what_a_spec_can_do_to_kill_gradients() -> None:
    spec = SPEC.replace("  alpha: 160", "  dropout: 0.95\n  target_modules: [q_proj]")
    assert answer("dead-gradient", {}, spec) == [
        {"method.target_modules": "attention"},
        {"method.dropout": 0.05},
        {},
    ]


def test_modules_that_a_preset_names_are_not_replaced() -> None:
    spec = SPEC.replace("  alpha: 160", "  target_modules: [all-linear]")
    assert answer("dead-gradient", {}, spec) == [{}]


def test_a_rate_of_zero_becomes_the_usual_one() -> None:
    open_rate = SPEC.replace("  learning_rate: 2e-4\n", "")
    assert answer("lr-zero", {}, open_rate) == [{"train.learning_rate": 2e-4}]


def test_rows_known_by_heart_are_seen_less_often(make_events, diagnosed) -> None:
    losses = [2.4 * math.exp(-place / 8) + 0.004 for place in range(60)]
    spec = SPEC.replace("epochs: 3", "epochs: 6").replace(
        "  max_length", "  eval: none\n  max_length"
    )
    found = diagnosed(make_events(losses, epochs=6.0), spec)
    (finding,) = [item for item in found.findings if item.name == "memorises"]
    patches = [{e.path: e.after for e in p.patch} for p in finding.prescriptions]
    assert patches[:2] == [{"train.epochs": 2.0}, {"data.eval": "5%"}]


def test_information_asks_for_no_change_of_the_run(make_events, diagnosed) -> None:
    losses = [2.0 - 0.01 * place for place in range(60)]
    losses[30] *= 1.7
    found = diagnosed(make_events(losses))
    quiet = [item for item in found.findings if item.name in ("spikes", "no-eval")]
    assert [item.prescriptions for item in quiet] == [(), ()]


@pytest.mark.parametrize("name", REMEDIES)
def test_without_a_spec_and_with_little_known_nothing_raises(name) -> None:
    evidence = {
        **BEST,
        **{"k": 4, "steps": [10.0, 20.0], "scatter": 0.5, "threshold": 0.3},
        **{"losses": 5, "needs": {"flat": 10}, "phase": None, "kind": "spent"},
    }
    for remedy in answer(name, evidence, None):
        json.dumps(remedy)
