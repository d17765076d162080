"""What is learnt of a row, in every format: the emitted `encode`, trl's collator, our counts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from compiling import build
from projects import environment, once
from tiny import make_llama, write_rows

from ftspec.compiler.facts.formats import PLAIN_TEMPLATE
from ftspec.compiler.facts.lengths import measure
from ftspec.compiler.facts.model import resolve_model
from ftspec.compiler.plan import Plan

Answers = dict[str, dict[str, Any]]
Row = dict[str, Any]

TALK = [("user", "what is red"), ("assistant", "a dog"), ("user", "and sun"), ("assistant", "bird")]
ODD = "Ärger\u2028\U0001f600 \x85 été\t x"
ROWS: dict[str, list[Row]] = {
    "alpaca": [
        {"instruction": "what is red", "input": "", "output": "a dog"},
        {"instruction": "what is red", "input": "the sun", "output": "a dog"},
        {"instruction": "what is red", "input": None, "output": None},
        {"instruction": "", "input": "", "output": ""},
        {"instruction": ODD, "input": ODD, "output": ODD},
    ],
    "sharegpt": [
        {
            "conversations": [
                {"from": {"user": "human", "assistant": "gpt"}[who], "value": said}
                for who, said in TALK
            ]
        },
        {
            "conversations": [
                {"from": "system", "value": "be slow"},
                {"from": "human", "value": ODD},
                {"from": "gpt", "value": ODD},
            ]
        },
        {"conversations": [{"from": "human", "value": "no answer"}]},
        {"conversations": [{"from": "gpt", "value": "an answer alone"}]},
        {"conversations": []},
        {"conversations": None},
    ],
    "messages": [
        {"messages": [{"role": who, "content": said} for who, said in TALK]},
        {
            "messages": [
                {"role": "system", "content": "be slow"},
                {"role": "user", "content": ODD},
                {"role": "assistant", "content": ODD},
            ]
        },
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": None}]},
        {"messages": []},
    ],
    "prompt-completion": [
        {"prompt": "what is red: ", "completion": "dog"},
        {"prompt": "what is red:", "completion": " dog"},
        {"prompt": "def f():\n", "completion": "    return  8\n\n        # x  "},
        {"prompt": "", "completion": "dog"},
        {"prompt": "dog", "completion": ""},
        {"prompt": None, "completion": None},
        {"prompt": ODD, "completion": ODD},
        {"prompt": "dog", "completion": "bird<|end|>"},
    ],
    "text": [
        {"text": "what is red"},
        {"text": ""},
        {"text": None},
        {"text": ODD},
        {"text": "x<|end|>"},
    ],
}
MODELS = ("pad-is-end", "own-pad", "no-template", "trimmed", "begins-and-ends")
EMPTY = {("text", "system"), ("text", "on-prompt"), ("prompt-completion", "system")}
CASES = {
    f"{model}-{format}-{how}": (model, format, how)
    for model in MODELS
    for format in ROWS
    for how in ("plain", "system", "on-prompt")
    if (format, how) not in EMPTY
}


@pytest.fixture(scope="module")
def made(shared: Path) -> Path:
    return once(shared / "encodings", make)


@pytest.fixture(scope="module")
def answers(made: Path) -> Answers:
    found: Answers = json.loads((made / "answers.json").read_text())
    return found


def make(folder: Path) -> None:
    """Build a project for each case, and ask all of them at once."""
    make_llama(folder / "pad-is-end")
    make_llama(folder / "own-pad", pad=True)
    make_llama(folder / "no-template", template=None)
    for name in ("trimmed", "begins-and-ends"):
        make_llama(folder / name)
        process(folder / name / "tokenizer.json", name)
    for format, rows in ROWS.items():
        write_rows(folder / f"{format}.jsonl", rows)
        write_rows(folder / f"{format}-eval.jsonl", rows)
    questions = {}
    for case, (model, format, how) in CASES.items():
        build(spec_of(model, format, how), folder / case)
        questions[case] = {"project": str(folder / case), "rows": ROWS[format], "limit": 1000}
    questions["cut"] = questions["pad-is-end-alpaca-plain"] | {"limit": 5}
    questions |= files(folder)
    (folder / "questions.json").write_text(json.dumps(questions))
    command = [sys.executable, str(Path(__file__).with_name("probe.py"))]
    command += [str(folder / "questions.json"), str(folder / "answers.json")]
    result = subprocess.run(command, env=environment(folder), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-5000:]


def spec_of(model: str, format: str, how: str) -> dict[str, Any]:
    data = {"train": f"{format}.jsonl", "format": format, "eval": f"{format}-eval.jsonl"}
    data |= {"system": {"system": "Be kind."}, "on-prompt": {"train_on_prompt": True}}.get(how, {})
    return {"model": model, "method": "lora", "data": data}


def process(file: Path, name: str) -> None:
    """Give a tokenizer a post-processor: GPT-2's, or one that adds a begin and an end."""
    tokenizer = json.loads(file.read_text())
    if name == "trimmed":
        tokenizer["post_processor"] = {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
            "use_regex": True,
        }
    else:
        ends = [{"SpecialToken": {"id": word, "type_id": 0}} for word in ("<|user|>", "<|end|>")]
        text = {"Sequence": {"id": "A", "type_id": 0}}
        special = {
            word: {"id": word, "ids": [number], "tokens": [word]}
            for word, number in (("<|user|>", 1), ("<|end|>", 0))
        }
        tokenizer["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [ends[0], text, ends[1]],
            "pair": [ends[0], text, text, ends[1]],
            "special_tokens": special,
        }
    file.write_text(json.dumps(tokenizer))


def files(folder: Path) -> dict[str, dict[str, Any]]:
    """Projects whose files are read, not only their rows."""
    rows = [{"prompt": "x", "completion": said} for said in CSV]
    for kind in ("csv", "jsonl", "json", "parquet"):
        write_rows(folder / f"kinds.{kind}", rows)
        build(
            {
                "model": "pad-is-end",
                "method": "lora",
                "data": {"train": f"kinds.{kind}", "eval": "none", "format": "prompt-completion"},
            },
            folder / f"kind-{kind}",
        )
    (folder / "bom.jsonl").write_bytes(
        b'\xef\xbb\xbf{"prompt": "x", "completion": "1"}\n\n{"prompt": "y", "completion": "2"}\r\n'
    )
    build({"model": "pad-is-end", "method": "lora", "data": "bom.jsonl"}, folder / "kind-bom")
    return {
        f"kind-{kind}": {
            "project": str(folder / f"kind-{kind}"),
            "rows": [],
            "limit": 100,
            "load": True,
        }
        for kind in ("csv", "jsonl", "json", "parquet", "bom")
    }


CSV = ["007", "true", "NA", "None", "1.50", "2024-01-01", "a\nb", '"q", r', "-", "nan"]


def texts(model: str, format: str, row: Row, how: str) -> tuple[str, str]:
    """Return the text of a row and the part of it that is learnt, written by hand."""
    if format == "text":
        text = row["text"] or ""
        return closed(model, text), closed(model, text)
    if format == "prompt-completion":
        prompt, completion = row["prompt"] or "", row["completion"] or ""
        text = closed(model, prompt + completion)
        return text, closed(model, completion).removeprefix("<|user|>")
    rendered, learnt = "", ""
    for role, said in talk(format, row, "Be kind." if how == "system" else None):
        before, after = {
            True: (f"<|{role}|>", "<|end|>\n"),
            False: {
                "assistant": ("### Assistant:\n", "<|end|>\n"),
                "user": ("### User:\n", "\n\n"),
            }.get(role, ("", "\n\n")),
        }[model != "no-template"]
        rendered += before + said + after
        learnt += said + after if role == "assistant" else ""
    return rendered, learnt


def closed(model: str, text: str) -> str:
    begin = "<|user|>" if model == "begins-and-ends" else ""
    end = "" if text.endswith("<|end|>") and not begin else "<|end|>"
    return begin + text + end


def talk(format: str, row: Row, system: str | None) -> list[tuple[str, str]]:
    if format == "alpaca":
        asked = "\n\n".join(part for part in (row["instruction"], row["input"]) if part)
        turns = [("user", asked), ("assistant", row["output"] or "")]
    elif format == "sharegpt":
        roles = {"human": "user", "gpt": "assistant"}
        pairs = [(turn["from"], turn["value"]) for turn in row["conversations"] or []]
        turns = [(roles.get(who, who), said or "") for who, said in pairs]
    else:
        turns = [(turn["role"], turn["content"] or "") for turn in row["messages"]]
    if system and turns and turns[0][0] != "system":
        turns.insert(0, ("system", system))
    return turns


@pytest.mark.parametrize("case", CASES)
def test_answers_are_learnt_and_prompts_are_not(case: str, answers: Answers) -> None:
    model, format, how = CASES[case]
    found = answers[case]
    for row, encoded, text, learnt in zip(
        ROWS[format], found["rows"], found["text"], found["learnt"], strict=True
    ):
        expected, answer = texts(model, format, row, how)
        assert text == expected
        assert len(encoded["labels"]) == len(encoded["input_ids"])
        pairs = zip(encoded["labels"], encoded["input_ids"], strict=True)
        assert all(label in (-100, token) for label, token in pairs)
        if how == "on-prompt" or format == "text":
            assert learnt == text
        elif format == "prompt-completion" and (row["prompt"] or "").endswith(" "):
            assert learnt in (answer, " " + answer), "a token may begin in the prompt's last space"
        else:
            begin = "<|user|>" if model == "begins-and-ends" and text.startswith(learnt) else ""
            assert learnt.removeprefix(begin) == answer


@pytest.mark.parametrize("case", CASES)
def test_padding_is_masked_by_place_and_the_end_is_learnt(case: str, answers: Answers) -> None:
    model, format, how = CASES[case]
    found = answers[case]
    assert (found["pad"] == found["eos"]) is (model != "own-pad")
    rows = [row for row in found["rows"] if row["input_ids"]]
    batch = found["batch"]
    for row, ids, labels in zip(rows, batch["input_ids"], batch["labels"], strict=True):
        size = len(row["input_ids"])
        assert ids[:size] == row["input_ids"] and set(ids[size:]) <= {found["pad"]}
        assert labels[:size] == row["labels"] and set(labels[size:]) <= {-100}
    chat = format not in ("text", "prompt-completion")
    ends = [row["labels"] for row in rows if set(row["labels"]) - {-100}]
    assert chat and how == "on-prompt" or all(found["eos"] in labels for labels in ends), (
        "the end of an answer is learnt"
    )


@pytest.mark.parametrize("case", CASES)
def test_the_compiler_counts_the_same_tokens(case: str, answers: Answers, made: Path) -> None:
    model, format, how = CASES[case]
    plan = Plan.model_validate_json((made / case / "plan.json").read_bytes())
    counted = measure(
        ROWS[format],
        resolve_model(model, made),
        format,
        plan.data.columns,
        plan.data.system,
        PLAIN_TEMPLATE if model == "no-template" else None,
        plan.data.train_on_prompt,
    )
    assert counted is not None
    rows = answers[case]["rows"]
    assert counted.tokens == tuple(len(row["input_ids"]) for row in rows)
    learnt = tuple(sum(label != -100 for label in row["labels"]) for row in rows)
    assert counted.supervised == learnt


def test_every_assistant_turn_is_learnt(answers: Answers) -> None:
    for format in ("sharegpt", "messages"):
        assert answers[f"pad-is-end-{format}-plain"]["learnt"][0] == "a dog<|end|>\nbird<|end|>\n"


def test_a_row_is_cut_at_the_limit(answers: Answers) -> None:
    whole, cut = answers["pad-is-end-alpaca-plain"]["rows"], answers["cut"]["rows"]
    for row, short in zip(whole, cut, strict=True):
        assert short == {key: value[:5] for key, value in row.items()}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "json", "parquet"])
def test_values_stay_as_they_are_written(kind: str, answers: Answers) -> None:
    loaded = answers[f"kind-{kind}"]["loaded"]["train"]
    assert loaded == [f"x{said}<|end|>" for said in CSV]


def test_a_byte_order_mark_and_empty_lines_are_no_rows(answers: Answers) -> None:
    assert answers["kind-bom"]["loaded"]["train"] == ["x1<|end|>", "y2<|end|>"]
