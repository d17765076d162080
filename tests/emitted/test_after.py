"""What follows training: evaluate.py, chat.py and merge.py, against computations of our own."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from projects import METHODS, Trained, environment, run
from tiny import rows_of

Find = Callable[[str], Trained]
# peft 0.21 asks transformers 5.23 by a name that is to go.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")


def final(made: Trained) -> Path:
    return made.project / "runs" / "1" / "final"


@pytest.mark.parametrize("method", METHODS)
def test_evaluate(method: str, trained: Find) -> None:
    made = trained(method)
    shown = run(made.project, "evaluate.py").stdout
    result = json.loads((made.project / "runs" / "1" / "evaluation.json").read_text())
    figures = result["metrics"]["perplexity"]
    assert result["schema_version"] == 1
    assert f"{result['rows']} rows held out, {result['supervised_tokens']} supervised" in shown
    assert figures["change"] == pytest.approx(figures["tuned"] / figures["base"] - 1)
    assert figures["low"] <= figures["change"] <= figures["high"]
    assert figures["change"] < 0, "trained on rows of the same kind"
    if method in ("full", "lora"):
        expected = [perplexity(made, tuned) for tuned in (False, True)]
        assert [figures["base"], figures["tuned"]] == pytest.approx(expected, rel=1e-4)
        assert result["rows"] == 7


def perplexity(made: Trained, tuned: bool) -> float:
    """Perplexity of the held-out rows, one row at a time, with their text written out here."""
    import torch

    model, tokenizer = load(made, tuned)
    loss, count = 0.0, 0
    for row in held_out(made.method):
        before = tokenizer(row[0], add_special_tokens=False)["input_ids"]
        after = tokenizer(row[1], add_special_tokens=False)["input_ids"]
        ids = torch.tensor([before + after])
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0].float()
        chances = torch.log_softmax(logits, dim=-1)
        for place in range(max(1, len(before)), ids.shape[1]):
            loss -= float(chances[place - 1, ids[0, place]])
            count += 1
    return math.exp(loss / count)


def held_out(method: str) -> Iterator[tuple[str, str]]:
    """The rows of the eval file: what is given, and what is to be said."""
    if method == "full":
        for row in rows_of("text", 7):
            yield "", f"{row['text']}<|end|>"
    else:
        for row in rows_of("alpaca", 7):
            asked = f"<|user|>{row['instruction']}<|end|>\n<|assistant|>"
            yield asked, f"{row['output']}<|end|>\n"


def load(made: Trained, tuned: bool) -> tuple[Any, Any]:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(made.base))
    whole = tuned and made.method == "full"
    folder = final(made) if whole else made.base
    model = AutoModelForCausalLM.from_pretrained(str(folder))
    if tuned and not whole:
        model = PeftModel.from_pretrained(model, str(final(made)))
    return model.eval(), tokenizer


@pytest.mark.parametrize("method", METHODS)
def test_chat_answers_a_prompt(method: str, trained: Find) -> None:
    made = trained(method)
    options = ["--prompt", "what is red 0", "--max-new-tokens", "12"]
    shown = run(made.project, "chat.py", *options).stdout
    if method == "lora":
        assert shown.strip() == generated(made, "<|user|>what is red 0<|end|>\n<|assistant|>")
        assert shown.strip()


def generated(made: Trained, prompt: str) -> str:
    import torch

    model, tokenizer = load(made, tuned=True)
    ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
    start = ids.shape[1]
    with torch.no_grad():
        for _ in range(12):
            best = model(input_ids=ids).logits[0, -1].argmax()
            ids = torch.cat([ids, best.view(1, 1)], dim=1)
            if int(best) == tokenizer.eos_token_id:
                break
    text = tokenizer.decode(ids[0, start:], skip_special_tokens=True)
    assert isinstance(text, str)
    return text.strip()


def test_chat_holds_a_conversation(trained: Find) -> None:
    project = trained("qlora").project
    result = subprocess.run(
        [sys.executable, str(project / "chat.py"), "--max-new-tokens", "4"],
        input="what is red\nand sun\n/new\n\n/quit\n",
        env=environment(project.parent),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.count("> ") == 5


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_merged_says_what_base_and_adapter_say(method: str, trained: Find) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    made = trained(method)
    run(made.project, "merge.py")
    merged = made.project / "runs" / "1" / "merged"
    assert not list(merged.glob("adapter*"))
    model = AutoModelForCausalLM.from_pretrained(str(merged)).eval()
    tokenizer = AutoTokenizer.from_pretrained(str(merged))
    assert tokenizer.chat_template
    tuned, _ = load(made, tuned=True)
    base, _ = load(made, tuned=False)
    ids = tokenizer("<|user|>what is red<|end|>\n<|assistant|>a dog", return_tensors="pt")
    with torch.no_grad():
        ours, theirs, before = (m(input_ids=ids["input_ids"]).logits for m in (model, tuned, base))
    assert torch.allclose(ours, theirs, atol=1e-3)
    assert not torch.allclose(ours, before, atol=0.1)


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("full", "the whole model already"),
        ("prefix", "prefix is part of no"),
        ("prompt", "soft prompt is part"),
    ],
)
def test_what_cannot_be_merged_says_why(method: str, reason: str, trained: Find) -> None:
    assert reason in run(trained(method).project, "merge.py", check=78).stderr


@pytest.mark.parametrize("script", ["evaluate.py", "merge.py"])
def test_without_a_finished_run_there_is_nothing_to_do(script: str, trained: Find) -> None:
    assert "no finished run" in run(trained("lora").stopped, script, check=78).stderr


def test_a_finished_run_is_finished(trained: Find) -> None:
    assert "--new" in run(trained("lora").project, "train.py").stdout
