"""evaluate.py's perplexity, against computations written out here, in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from emitted_modules import imported
from projects import METHODS, Trained

Find = Callable[[str], Trained]
# peft 0.21 asks transformers 5.23 by a name that is to go.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")


@pytest.fixture
def evaluate(trained: Find) -> Iterator[ModuleType]:
    """The evaluate.py of the LoRA project."""
    with imported(trained("lora").project, "evaluate") as module:
        yield module


def final(made: Trained) -> Path:
    return made.project / "runs" / "1" / "final"


def by_hand(model: Any, row: dict[str, Any], window: int, stride: int) -> tuple[float, int]:
    """A row's loss in float64, token by token; each is read from the first window that holds it."""
    import torch

    loss, count = 0.0, 0
    for place in range(1, len(row["input_ids"])):
        start = 0
        while place >= start + window:
            start += stride
        if row["labels"][place] != -100:
            ids = torch.tensor([row["input_ids"][start:place]])
            with torch.no_grad():
                chances = torch.log_softmax(model(input_ids=ids).logits[0, -1], dim=-1)
            loss -= float(chances[row["labels"][place]])
            count += 1
    return loss, count


def test_losses_are_those_computed_by_hand(trained: Find, evaluate: ModuleType) -> None:
    tokenizer = evaluate.load_tokenizer()
    rows = evaluate.held_out(tokenizer)
    model = evaluate.load_tuned(final(trained("lora"))).eval()
    found = evaluate.losses(model, rows, tokenizer.pad_token_id)
    model = model.double()
    for (loss, count), row in zip(found.tolist(), rows, strict=True):
        expected, tokens = by_hand(model, row, 10**6, 1)
        assert loss == pytest.approx(expected, rel=1e-6)
        assert count == tokens
    assert len({len(row["input_ids"]) for row in rows}) > 1, "some are padded"


def test_long_rows_are_read_in_windows(trained: Find, evaluate: ModuleType) -> None:
    tokenizer = evaluate.load_tokenizer()
    rows = evaluate.held_out(tokenizer)
    long = {"input_ids": [n for row in rows[:3] for n in row["input_ids"]]}
    long["labels"] = [-100 if n % 5 == 0 else token for n, token in enumerate(long["input_ids"])]
    exact = {"input_ids": long["input_ids"][:12], "labels": long["labels"][:12]}
    over = {"input_ids": long["input_ids"][:13], "labels": long["labels"][:13]}
    evaluate.MAX_LENGTH, evaluate.STRIDE = 12, 5
    model = evaluate.load_base().eval()
    found = evaluate.losses(model, [long, exact, over], tokenizer.pad_token_id)
    model = model.double()
    for (loss, count), row in zip(found.tolist(), (long, exact, over), strict=True):
        expected, tokens = by_hand(model, row, 12, 5)
        assert loss == pytest.approx(expected, rel=1e-6)
        assert count == tokens
    assert len(list(evaluate.windows(exact))) == 1
    assert [len(ids) for ids, _ in evaluate.windows(over)] == [12, 8]


@pytest.mark.parametrize("length", [1, 2, 11, 12, 13, 17, 18, 40])
def test_each_token_is_counted_once(length: int, evaluate: ModuleType) -> None:
    evaluate.MAX_LENGTH, evaluate.STRIDE = 12, 5
    row = {"input_ids": list(range(length)), "labels": list(range(length))}
    counted: list[int] = []
    for ids, labels in evaluate.windows(row):
        assert len(ids) == len(labels) <= 12
        assert all(label in (-100, token) for token, label in zip(ids, labels, strict=True))
        counted += [label for label in labels if label != -100]
        first = next(n for n, label in enumerate(labels) if label != -100)
        assert first == 0 if ids[0] == 0 else first >= 12 - 5, "with enough before it"
    assert counted == list(range(length))


@pytest.mark.parametrize("method", METHODS)
def test_losses_are_those_of_transformers(method: str, trained: Find) -> None:
    import torch

    made = trained(method)
    with imported(made.project, "evaluate") as evaluate:
        tokenizer = evaluate.load_tokenizer()
        rows = evaluate.held_out(tokenizer)
        model = evaluate.load_tuned(final(made)).eval()
        found = evaluate.losses(model, rows, tokenizer.pad_token_id)
        evaluate.BATCH = 1
        alone = evaluate.losses(model, rows, tokenizer.pad_token_id)
    assert torch.allclose(found, alone, rtol=2e-4), "however they are batched and padded"
    for (loss, count), row in zip(found.tolist(), rows, strict=True):
        batch = {key: torch.tensor([row[key]]) for key in ("input_ids", "labels")}
        with torch.no_grad():
            mean = float(model(**batch).loss)
        assert loss == pytest.approx(mean * count, rel=2e-4)


def test_rows_are_not_cut(trained: Find) -> None:
    with imported(trained("qlora").project, "evaluate") as evaluate:
        evaluate.MAX_LENGTH = 4
        tokenizer = evaluate.load_tokenizer()
        assert all(len(row["input_ids"]) > 4 for row in evaluate.held_out(tokenizer))
