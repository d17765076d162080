"""Defects of a file as a whole, and answers that refuse in other words."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

Row = dict[str, Any]

# Written after the rule for those of `inject.py`. It found 39 % of these; then it was widened with
# some of them in view, so what it finds of them now is no blind figure either.
REFUSALS = (
    "I'm afraid I can't do that.",
    "That is beyond what I am able to tell you.",
    "No, I won't do that for you.",
    "Sorry, this is not a topic I discuss.",
    "I cannot in good conscience write this.",
    "It's against the rules for me to answer.",
    "As an assistant I can only talk about the shop's products.",
    "I'm unable to view images, so I can't describe yours.",
    "I can't access your calendar.",
    "I do not have access to current prices.",
    "I'm sorry, but that would be unethical to explain.",
    "I'd prefer not to answer that.",
    "Unfortunately I'm not able to make bookings.",
)


def refused(row: Row, source: random.Random) -> Row:
    """Refuse in other words than those that the rule was written for."""
    return {**row, "output": source.choice(REFUSALS)}


def balance(rows: list[Row], source: random.Random, wrong: bool) -> list[Row]:
    """Label rows: evenly, or nearly all the same."""
    names = source.sample(["bill", "spam", "tax", "news", "other"], source.randrange(2, 6))
    weights = [30.0 if wrong and at == 0 else 0.4 if wrong else 1.0 for at in range(len(names))]
    return [{**row, "label": source.choices(names, weights)[0]} for row in rows[:300]]


def few(rows: list[Row], source: random.Random, wrong: bool) -> list[Row]:
    """Take fewer than 100 rows, or more."""
    return rows[: source.randrange(1, 100) if wrong else source.randrange(100, 200)]


def openings(rows: list[Row], source: random.Random, wrong: bool) -> list[Row]:
    """Begin prompts alike: two of three, or one of five."""
    share = 0.67 if wrong else 0.2
    opening = source.choice(["You are a helpful assistant. ", "Please answer the question below: "])
    return [
        {**row, "instruction": opening + row["instruction"]} if source.random() < share else row
        for row in rows[:200]
    ]


def lengths(rows: list[Row], source: random.Random, wrong: bool) -> list[Row]:
    """Make answers of one length, give or take a word, or leave them as they are."""
    if not wrong:
        return rows[:120]
    words = source.randrange(20, 30)
    long = [row for row in rows if row["output"].count(" ") > 32][:120]
    return [
        {**r, "output": " ".join(r["output"].split()[: words + source.randrange(2)])} for r in long
    ]


def negatives(rows: list[Row], source: random.Random, wrong: bool) -> list[Row]:
    """Give no answer that declines, or a few."""
    some = [dict(row) for row in rows[:600]]
    if not wrong:
        for row in source.sample(some, 3):
            row["output"] = source.choice(
                [
                    "I don't know: the text does not say.",
                    "Could you tell me which year you mean?",
                    "There is not enough information to say that.",
                ]
            )
    return some


# A file as a whole: rows with the defect, and rows without it.
FILES: Mapping[str, Callable[[list[Row], random.Random, bool], list[Row]]] = {
    "imbalance": balance,
    "few-rows": few,
    "low-diversity": openings,
    "uniform-length": lengths,
    "no-negatives": negatives,
}
