"""Against overfitting: nothing without a reason in steps and passes; written numbers stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from compiling import compiled
from machines import CPU
from tiny import write_rows
from world import LLAMA, write_model, write_tokenizer

from ftspec.compiler.pipeline import Compiled


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("regularize")
    write_model(folder / "llama", LLAMA)
    write_tokenizer(folder / "llama")
    for count in (30, 200, 2000):
        rows = [{"instruction": f"what is {n}", "input": "", "output": "red"} for n in range(count)]
        write_rows(folder / f"{count}.jsonl", rows)
    same = [
        {"instruction": f"what is {n % 100}", "input": "", "output": "red"} for n in range(2000)
    ]
    write_rows(folder / "same.jsonl", same)
    return folder


def planned(root: Path, file: str, train: dict[str, Any] | None = None, **more: Any) -> Compiled:
    method = more.pop("method", "lora")
    spec = {"model": "llama", "method": method, "data": file, "train": train or {}} | more
    result = compiled(spec, root, CPU)
    assert result.plan is not None, [finding.title for finding in result.findings]
    return result


def names(result: Compiled) -> list[str]:
    return [finding.name for finding in result.findings]


def test_200_rows_and_three_epochs_are_left_alone(root: Path) -> None:
    result = planned(root, "200.jsonl")
    assert result.plan is not None
    assert result.plan.train.epochs == 3
    assert result.plan.train.early_stopping is False
    assert "overfits-as-planned" not in names(result)


def test_many_steps_and_three_passes_stop_early(root: Path) -> None:
    result = planned(root, "2000.jsonl")
    assert result.plan is not None
    assert result.plan.train.early_stopping is not False
    assert result.plan.train.epochs == 3
    assert "would overfit" in result.plan.why["train.early_stopping"].reason


def test_without_held_out_rows_epochs_are_fewer(root: Path) -> None:
    result = planned(root, "2000.jsonl", data={"train": "2000.jsonl", "eval": "none"})
    assert result.plan is not None
    assert result.plan.train.epochs == 2
    assert result.plan.train.early_stopping is False


def test_copies_count_as_passes(root: Path) -> None:
    result = planned(root, "same.jsonl", {"epochs": 1})
    assert result.plan is not None
    assert result.plan.train.early_stopping is not False
    assert result.plan.method.dropout == 0.1


def test_written_numbers_stay_and_are_prescribed_for(root: Path) -> None:
    train = {"epochs": 20, "learning_rate": 1e-3, "early_stopping": False}
    result = planned(root, "200.jsonl", train, method={"type": "lora", "dropout": 0.0})
    assert result.plan is not None
    assert result.plan.train.epochs == 20
    assert result.plan.changes == ()
    (finding,) = [item for item in result.findings if item.name == "overfits-as-planned"]
    paths = [remedy.patch[0].path for remedy in finding.prescriptions]
    assert paths == [
        "train.epochs",
        "method.dropout",
        "train.learning_rate",
        "train.early_stopping",
    ]


def test_leave_to_regularize_changes_them(root: Path) -> None:
    train = {"epochs": 20, "learning_rate": 1e-3}
    allow = {"allow": ["regularize"]}
    result = planned(root, "2000.jsonl", train, tune=allow)
    assert result.plan is not None
    assert result.plan.train.epochs == 3
    assert {change.path for change in result.plan.changes} == {
        "train.epochs",
        "train.learning_rate",
    }
    assert "overfits-as-planned" not in names(result)


def test_fewer_epochs_never_leave_too_few_steps(root: Path) -> None:
    train = {"epochs": 100, "effective_batch": 16}
    allow = {"allow": ["regularize"]}
    result = planned(root, "200.jsonl", train, tune=allow)
    assert result.plan is not None
    assert result.plan.train.total_steps is not None
    assert result.plan.train.total_steps >= 100


def test_off_says_nothing(root: Path) -> None:
    train = {"epochs": 20}
    result = planned(root, "2000.jsonl", train, tune={"overfitting": "off"})
    assert result.plan is not None
    assert result.plan.train.early_stopping is False
    assert "overfits-as-planned" not in names(result)


@pytest.mark.parametrize(("data", "said"), [("30.jsonl", True), ("200.jsonl", False)])
def test_few_rows_are_better_put_into_a_prompt(root: Path, data: str, said: bool) -> None:
    assert ("few-examples" in names(planned(root, data))) is said
