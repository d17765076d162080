"""review.py: both models answer the same held-out prompts, each under its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from projects import Trained, run

from ftspec.runtime.review.answers import read_review

Find = Callable[[str], Trained]


def reviewed(made: Trained, *options: str) -> dict[str, Any]:
    shown = run(made.project, "review.py", "--max-new-tokens", "8", *options).stdout
    file = made.project / "runs" / "1" / "review.json"
    assert str(file) in shown
    assert len(read_review(file).items) > 0
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("method", ["lora", "prompt"])
def test_both_answer_as_chat_does(method: str, trained: Find) -> None:
    made = trained(method)
    found = reviewed(made, "--rows", "3")
    assert (found["rows"], found["seed"], found["max_new_tokens"]) == (3, 42, 8)
    assert [item["id"] for item in found["items"]] == [1, 2, 3]
    assert len({item["row"] for item in found["items"]}) == 3
    assert all(item["expected"] for item in found["items"])
    item = found["items"][0]
    assert [turn["role"] for turn in item["turns"]] == ["user" if method == "lora" else "prompt"]
    ask = ["--prompt", item["turns"][-1]["content"], "--max-new-tokens", "8"]
    for name, extra in (("tuned", []), ("base", ["--base"])):
        assert run(made.project, "chat.py", *ask, *extra).stdout.strip() == item[name]["text"]


def test_the_seed_decides_which_prompts(trained: Find) -> None:
    made = trained("lora")
    rows = [
        [item["row"] for item in reviewed(made, "--rows", "4", "--seed", seed)["items"]]
        for seed in ("1", "1", "2")
    ]
    assert rows[0] == rows[1] != rows[2]
    assert len(reviewed(made)["items"]) == 7, "20 are asked for; there are no more rows"


def test_plain_text_asks_nothing(trained: Find) -> None:
    assert "Plain text asks nothing" in run(trained("full").project, "review.py", check=78).stderr


def test_without_a_finished_run_there_is_nothing_to_review(trained: Find) -> None:
    assert "no finished run to review" in run(trained("lora").stopped, "review.py", check=78).stderr
