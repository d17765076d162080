"""Defects that are one of several rows, of conversations, of tokens, or of a file as a whole.

Each function takes clean alpaca rows and a source of chance, and gives a set with its truth. It
shares nothing with the rules.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Row = dict[str, Any]
COUNT = 200


@dataclass(frozen=True)
class Made:
    """Rows, the numbers of those at fault (from 1), and rows that are held out."""

    rows: list[Row]
    truth: set[int]
    held_out: list[Row] = field(default_factory=list)


def mixed(rows: list[Row], more: list[tuple[bool, Row]], source: random.Random) -> Made:
    """Put rows among others, at random places behind the first half; True: one at fault."""
    marked = [(False, row) for row in rows]
    for item in more:
        marked.insert(source.randrange(len(rows) // 2, len(marked) + 1), item)
    truth = {at for at, (wrong, _) in enumerate(marked, 1) if wrong}
    return Made([row for _, row in marked], truth)


def duplicates(rows: list[Row], source: random.Random) -> Made:
    """Say rows of the first half again, half of them in capitals or with other spaces."""
    changes: list[Callable[[str], str]] = [str, str, str.upper, lambda text: f"  {text} \n"]
    copies = []
    for row in source.sample(rows[: len(rows) // 2], COUNT):
        change = source.choice(changes)
        copies.append((True, {**row, "output": change(row["output"])}))
    return mixed(rows, copies, source)


def trigrams(row: Row) -> set[tuple[str, ...]]:
    """Return all runs of three words of a row."""
    words = f"{row['instruction']} {row['output']}".lower()
    plain = "".join(ch if ch.isalnum() else " " for ch in words).split()
    return set(zip(plain, plain[1:], plain[2:], strict=False))


def near_duplicates(rows: list[Row], source: random.Random) -> Made:
    """Change a word or two of long rows: 82 % and more of their runs of words stay the same."""
    copies: list[tuple[bool, Row]] = []
    half = rows[: len(rows) // 2]
    while len(copies) < COUNT:
        row = source.choice(half)
        words = row["output"].split(" ")
        for _ in range(source.randrange(1, 4)):
            words[source.randrange(len(words))] = source.choice(["lamp", "river", "seven"])
        other = {**row, "output": " ".join(words)}
        one, two = trigrams(row), trigrams(other)
        if 0.82 <= len(one & two) / len(one | two) < 1:
            half.remove(row)
            copies.append((True, other))
    return mixed(rows, copies, source)


def conflicts(rows: list[Row], source: random.Random) -> Made:
    """Answer prompts again, with the answer of another row; both rows are at fault."""
    chosen = source.sample(range(len(rows) // 2), COUNT)
    answers = source.sample(rows[len(rows) // 2 :], COUNT)
    more = [
        (True, {**rows[at], "output": other["output"]})
        for at, other in zip(chosen, answers, strict=True)
    ]
    made = mixed(rows, more, source)
    return Made(made.rows, made.truth | {at + 1 for at in chosen})


def leaks(rows: list[Row], source: random.Random) -> Made:
    """Hold prompts out as conversations, with other answers, among others that are not trained."""
    chosen = source.sample(range(len(rows) - COUNT), COUNT)
    prompts = [rows[at]["instruction"] for at in chosen]
    prompts += [row["instruction"] for row in rows[-COUNT:]]
    held_out = [chat(("user", f"{prompt} "), ("assistant", "It is so.")) for prompt in prompts]
    return Made(rows[:-COUNT], {at + 1 for at in chosen}, held_out)


def formats(rows: list[Row], source: random.Random) -> Made:
    """Write rows in other formats."""
    chosen = set(source.sample(range(300, len(rows)), COUNT))

    def other(row: Row) -> Row:
        asked, said = row["instruction"], row["output"]
        return source.choice(
            [
                chat(("user", asked), ("assistant", said)),
                {"prompt": asked, "completion": said},
                {"text": f"{asked} {said}"},
                {
                    "conversations": [
                        {"from": "human", "value": asked},
                        {"from": "gpt", "value": "a"},
                    ]
                },
            ]
        )

    return Made(
        [other(row) if at in chosen else row for at, row in enumerate(rows)],
        {at + 1 for at in chosen},
    )


def chat(*turns: tuple[str, str]) -> Row:
    """Return a conversation."""
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


def chats(change: Callable[[list[Any], random.Random], Any]) -> Callable[..., Made]:
    """Return what makes conversations of two exchanges, and changes the turns of some."""

    def made(rows: list[Row], source: random.Random) -> Made:
        pairs = list(zip(rows[::2], rows[1::2], strict=False))
        chosen = set(source.sample(range(len(pairs)), COUNT))
        result = []
        for at, (one, two) in enumerate(pairs):
            turns = [("user", one["instruction"]), ("assistant", one["output"])]
            turns += [("user", two["instruction"]), ("assistant", two["output"])]
            if source.random() < 0.3:
                turns.insert(0, ("system", "Be kind."))
            if at in chosen:
                change(turns, source)
            result.append(chat(*turns))
        return Made(result, {at + 1 for at in chosen})

    return made


def disorder(turns: list[Any], source: random.Random) -> None:
    """Break the order of the roles."""
    first = next(at for at, turn in enumerate(turns) if turn[0] == "user")
    kind = source.randrange(5)
    if kind == 0:
        del turns[first]  # the assistant begins
    elif kind == 1:
        del turns[first + 1]  # the user twice
    elif kind == 2:
        turns.pop()  # nothing answers the last
    elif kind == 3:
        turns.insert(first + 2, ("system", "Be brief."))
    else:
        turns[first] = (source.choice(["usr", "client", "Q"]), turns[first][1])


def emptied(turns: list[Any], source: random.Random) -> None:
    """Empty a turn."""
    at = source.randrange(len(turns))
    turns[at] = (turns[at][0], source.choice(["", " ", "\n\t"]))


def unanswered(turns: list[Any], source: random.Random) -> None:
    """Take the assistant out."""
    turns[:] = [turn for turn in turns if turn[0] != "assistant"]


def preferences(rows: list[Row], source: random.Random) -> Made:
    """Prefer an answer to itself."""
    chosen = set(source.sample(range(len(rows)), COUNT))
    others = [row["output"] for row in rows[1:] + rows[:1]]
    made = [
        {
            "prompt": row["instruction"],
            "chosen": row["output"],
            "rejected": row["output"] if at in chosen else other,
        }
        for at, (row, other) in enumerate(zip(rows, others, strict=True))
    ]
    return Made(made, {at + 1 for at in chosen})


SETS: Mapping[str, Callable[[list[Row], random.Random], Made]] = {
    "duplicate": duplicates,
    "near-duplicate": near_duplicates,
    "conflicting-answers": conflicts,
    "leakage": leaks,
    "mixed-formats": formats,
    "role-order": chats(disorder),
    "empty-turn": chats(emptied),
    "no-answer-turn": chats(unanswered),
    "chosen-is-rejected": preferences,
}

LIMIT = 700  # tokens; GSM8K's longest row has fewer by the tokenizer below
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] }}"
    "{% if m['role'] == 'assistant' and 'endless' not in m['content'] %}{{ eos_token }}{% endif %}"
    "{{ '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)


def tokenizer(path: Path) -> None:
    """Write a tokenizer that makes a token of each word and mark."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.WordLevel({"[UNK]": 0, "</s>": 1}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens(["</s>"])
    made.save(str(path))


def long_answer(row: Row, source: random.Random) -> Row:
    """Write on for more tokens than are trained on."""
    return {**row, "output": row["output"] + " and more" * source.randrange(LIMIT, 2 * LIMIT)}


def long_prompt(row: Row, source: random.Random) -> Row:
    """Ask for so long that the answer is cut off."""
    return {**row, "instruction": "well " * (LIMIT + source.randrange(50)) + row["instruction"]}


def endless(row: Row, source: random.Random) -> Row:
    """Say a word at which the template leaves the end token out."""
    return {**row, "output": f"{row['output']} endless"}


OF_TOKENS: Mapping[str, Callable[[Row, random.Random], Row]] = {
    "too-long": long_answer,
    "all-masked": long_prompt,
    "no-end-token": endless,
}
