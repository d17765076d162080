"""From rows to records: which loss, which step, what is an evaluation, what is left over."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from ftspec.doctor.curves.log import Log
from ftspec.doctor.curves.readers import read
from ftspec.doctor.curves.readers.keys import meaning
from ftspec.doctor.curves.series import Run


def run_of(*rows: dict[str, Any]) -> Run:
    return read(Log.of_bytes("x", "".join(json.dumps(row) + "\n" for row in rows).encode()))


def printed(*lines: str) -> Run:
    return read(Log.of_bytes("x", "\n".join(lines).encode()))


@pytest.mark.parametrize(
    ("key", "role", "name"),
    [
        ("train/loss", "loss", ""),
        ("lm loss", "loss", ""),
        ("Training Loss", "loss", ""),
        ("train/CrossEntropyLoss", "loss", ""),
        ("sft_loss", "loss", ""),
        ("eval_loss", "eval-loss", ""),
        ("eval_code_loss", "eval-loss", "code"),
        ("eval/c4_en-validation/CrossEntropyLoss", "eval-loss", "c4_en_validation"),
        ("val_loss", "eval-loss", ""),
        ("loss/val", "eval-loss", ""),
        ("Average eval loss", "eval-loss", ""),
        ("test_loss", "eval-loss", "test"),
        ("best val loss", "other", ""),
        ("aux loss", "other", ""),
        ("stop_loss", "other", ""),
        ("load_balancing_loss", "other", ""),
        ("eval_runtime", "other", ""),
        ("eval_accuracy", "eval-metric", ""),
        ("lr-AdamW", "quantity", "learning_rate"),
        ("completions/clipped_ratio", "quantity", "clipped_ratio"),
        ("frac_reward_zero_std", "quantity", "zero_reward_std"),
        ("train/global_step", "step", ""),
        ("colour", "other", ""),
    ],
)
def test_what_keys_mean(key: str, role: str, name: str) -> None:
    found = meaning(key)
    assert (found.role, found.name) == (role, name)


def test_one_loss_is_kept_to_in_the_whole_log() -> None:
    rows = [{"step": n, "loss": 1.0, "aux loss": 9.0} for n in range(3)]
    run = run_of(*rows, {"step": 3, "sft_loss": 7.0}, {"step": 4, "loss": 2.0})
    assert [record.loss for record in run.train] == [1.0, 1.0, 1.0, 2.0]


def test_a_better_loss_that_comes_later_takes_the_place_and_it_is_said() -> None:
    run = run_of({"step": 1, "epoch_loss": 5.0}, {"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0})
    assert [record.loss for record in run.train] == [2.0, 1.0]
    assert [p.text for p in run.problems] == ["1 records of another loss than `loss` are not used"]


def test_a_row_may_be_a_record_and_an_evaluation() -> None:
    run = run_of({"iter": 5, "train/loss": 2.0, "val/loss": 2.5, "val/accuracy": 0.5})
    assert [(r.step, r.loss) for r in run.train] == [(5, 2.0)]
    assert [(e.step, e.loss, dict(e.metrics)) for e in run.evals] == [(5, 2.5, {"accuracy": 0.5})]


def test_metrics_go_to_the_set_whose_name_they_bear() -> None:
    run = run_of({"eval_a_loss": 1.0, "eval_b_loss": 2.0, "eval_b_wer": 0.5, "step": 3})
    assert [(e.name, dict(e.metrics)) for e in run.evals] == [("a", {}), ("b", {"wer": 0.5})]


def test_quantities_logged_apart_join_the_record_of_their_step() -> None:
    run = run_of({"step": 1, "lr": 0.5}, {"step": 1, "loss": 2.0}, {"step": 1, "grad_norm": 3.0})
    (record,) = run.train
    assert (record.learning_rate, record.loss, record.grad_norm) == (0.5, 2.0, 3.0)


def test_in_a_log_without_any_loss_gradient_norms_are_records() -> None:
    rows = [{"iteration": n, "grad norm": math.nan, "lr": 1e-4} for n in range(4)]
    run = run_of(*rows, {"iteration": 3, "val_loss": 1.0})
    assert [(record.step, record.loss) for record in run.train] == [(n, None) for n in range(4)]
    assert math.isnan(run.train[0].grad_norm)
    run = run_of(*rows, {"iteration": 9, "loss": 1.0})
    assert [record.step for record in run.train] == [9]


def test_null_is_a_loss_that_is_not_finite_unless_nothing_was_logged() -> None:
    run = run_of(
        {"step": 1, "loss": 2.0, "lr": 1e-4, "eval_loss": None},
        {"step": 2, "loss": None, "lr": 1e-4, "eval_loss": None},
        {"step": 2, "loss": None, "lr": None, "eval_loss": 1.5},
        {"step": 3, "loss": None, "lr": None, "eval_loss": None},
    )
    assert len(run.train) == 2
    assert math.isnan(run.train[1].loss)
    assert [e.loss for e in run.evals] == [1.5]


def test_words_for_a_loss_are_said_with_their_line() -> None:
    run = run_of({"step": 1, "loss": 2.0}, {"step": 2, "loss": "much"}, {"step": 3, "loss": 1.0})
    assert [(p.line, p.text) for p in run.problems] == [(None, "the loss is not a number: much")]
    assert [record.loss for record in run.train] == [2.0, None, 1.0]


def test_a_step_within_the_epoch_is_counted_on() -> None:
    rows = [{"epoch": epoch, "batch": batch, "loss": 1.0} for epoch in (1, 2) for batch in (5, 10)]
    run = run_of(*rows, {"epoch": 2, "val_loss": 3.0})
    assert [record.step for record in run.train] == [5, 10, 15, 20]


def test_a_step_that_never_moves_is_none() -> None:
    run = run_of(*({"step": 0, "loss": float(n)} for n in range(5)))
    assert [record.step for record in run.train] == [None] * 5
    assert len(run.judged) == 5


def test_steps_that_are_not_finite_are_not_logged() -> None:
    run = run_of(*({"step": math.nan if n == 3 else n, "loss": 1.0} for n in range(6)))
    assert run.train[3].step is None


def test_logging_steps_number_what_has_no_step() -> None:
    run = printed(
        "TrainingArguments(",
        "logging_steps=25,",
        "weight_decay=0.01,",
        "lr_scheduler_type=SchedulerType.COSINE,",
        "bf16=True,",
        ")",
        "{'loss': 2.0, 'epoch': 0.1}",
        "{'loss': 1.5, 'epoch': 0.2}",
        "{'eval_loss': 1.75, 'epoch': 0.2}",
        "{'loss': 2.5, 'epoch': 0.1}",
    )
    assert [record.step for record in run.train] == [25, 50, 25]
    assert [e.step for e in run.evals] == [50]
    planned = run.planned
    assert (planned.logging_steps, planned.weight_decay) == (25, 0.01)
    assert (planned.scheduler, planned.precision) == ("COSINE", "bf16")


def test_the_banner_of_the_trainer_is_the_plan() -> None:
    run = printed(
        "***** Running training *****",
        "  Num examples = 1,000",
        "  Num Epochs = 3",
        "  Instantaneous batch size per device = 8",
        "  Total train batch size (w. parallel, distributed & accumulation) = 16",
        "  Gradient Accumulation steps = 2",
        "  Total optimization steps = 189",
        "  Number of trainable parameters = 4,194,304",
        "{'loss': 2.0, 'learning_rate': 1e-4, 'epoch': 0.1}",
    )
    planned = run.planned
    assert (planned.epochs, planned.micro_batch, planned.effective_batch) == (3, 8, 16)
    assert (planned.accumulation, planned.max_steps) == (2, 189)
    assert (planned.trained_parameters, planned.learning_rate) == (4_194_304, 1e-4)


def test_a_dict_that_was_wrapped_at_the_width_of_a_terminal_is_one() -> None:
    run = printed(
        "{'loss': 2.0, 'grad_norm':", "1.5, 'epoch':", "0.5}", "{'loss': 1.0, 'epoch': 1}"
    )
    assert [(r.loss, r.epoch) for r in run.train] == [(2.0, 0.5), (1.0, 1.0)]


def test_results_printed_as_a_dict_of_losses_are_an_evaluation() -> None:
    run = printed(
        "Epoch: 1 | Step: 100 | Train loss: 1.5",
        "Epoch: 1 | Step: 200 | Train loss: 1.25",
        "INFO - Evaluation results: {'loss': 0.5, 'accuracy': 0.75}",
    )
    assert [record.loss for record in run.train] == [1.5, 1.25]
    assert [(e.step, e.loss) for e in run.evals] == [(200, 0.5)]


def test_alike_lines_are_read_as_one_by_one() -> None:
    lines = []
    for step in range(1, 400):
        loss = "nan" if step % 50 == 0 else f"{3 - step / 200:.4f}"
        extra = " (saved)" if step % 70 == 0 else ""
        lines.append(
            f"2025-01-02 10:{step % 60:02d}:00 step {step}: loss {loss}, lr 1e-{step % 5}{extra}"
        )
    run = printed(*lines)
    assert [record.step for record in run.train] == list(range(1, 400))
    assert sum(math.isnan(record.loss) for record in run.train) == 7
    assert run.train[51].loss == 2.74
    assert run.train[51].learning_rate == 1e-2


def test_alike_lines_with_bars_are_read_as_one_by_one() -> None:
    lines = []
    for step in range(1, 300):
        share = step * 100 // 300
        drawn = f"{share:3d}%|{'#' * (share // 10):<10}|"
        bar = f"{drawn} {step * 5}/1500 [00:{step % 60:02d}<04:50,  1.0s/it]"
        record = f"{{'loss': {3 - step / 200:.4f}, 'epoch': {step / 100:.2f}}}"
        held_out = f"{{'eval_loss': {2 - step / 300:.4f}, 'epoch': {step / 100:.2f}}}"
        lines.append(
            f"{bar}\r{bar}{record}"
            + (f"\r100%|####| 9/9 [00:01]{held_out}" if step % 60 == 0 else "")
        )
    run = printed(*lines)
    assert [(r.step, r.loss) for r in run.train] == [
        (step * 5, round(3 - step / 200, 4)) for step in range(1, 300)
    ]
    assert [e.loss for e in run.evals] == [1.8, 1.6, 1.4, 1.2]
    assert (run.planned.max_steps, run.problems) == (1500, ())


def test_bars_that_count_something_else_give_no_step() -> None:
    run = printed("Map: 50%|##  | 500/1000 [00:01<00:01]", "{'loss': 2.0, 'epoch': 0.1}")
    assert run.train[0].step is None
