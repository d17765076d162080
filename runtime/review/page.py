"""The review as one HTML page: nothing on it says whose an answer is.

Answers and prompts are strangers' text: they are escaped, and the page's policy lets no script run
but its own (see `doctor.page`).
"""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup, escape

from ftspec.doctor.page import page, section
from ftspec.runtime.review.answers import Answer, Item, Review
from ftspec.runtime.review.judgements import QUESTIONS

JOINERS = "\u200c\u200d"  # of Persian, of Indian scripts, and of emoji: no other is kept unseen
TAB = 4


@dataclass(frozen=True, slots=True)
class Shown:
    """An item as the page shows it: escaped text, and A and B."""

    id: int
    turns: list[tuple[str, Markup]]
    expected: Markup
    answers: list[tuple[str, Markup, bool]]
    alike: bool


def as_html(review: Review, title: str) -> str:
    """Return the page of a review; `title` is what was trained."""
    count = len(review.items)
    body = section(
        "review",
        "Which answer is better?",
        "review.html.j2",
        digest=review.digest,
        seed=review.seed,
        limit=review.max_new_tokens,
        items=[_shown(review, item) for item in review.items],
        questions=QUESTIONS,
        choices=(("a", "A"), ("both", "Both"), ("neither", "Neither"), ("b", "B")),
    )
    lead = f"{count} prompt{'s' if count != 1 else ''}, each answered by both models"
    return page(f"Review: {title}", [body], lead, also="review")


def _shown(review: Review, item: Item) -> Shown:
    first, second = review.shown(item)
    return Shown(
        item.id,
        [(role, visible(content)) for role, content in item.turns],
        visible(item.expected),
        [_answer("A", first), _answer("B", second)],
        first.text == second.text,
    )


def _answer(name: str, answer: Answer) -> tuple[str, Markup, bool]:
    return name, visible(answer.text), answer.ended


def visible(text: str) -> Markup:
    """Return text as HTML that shows all of it: lines kept, nothing unseen, nothing of markup."""
    lines = (line.expandtabs(TAB) for line in text.splitlines())
    return escape("\n".join("".join(map(_seen, line)) for line in lines))


def _seen(character: str) -> str:
    return character if character.isprintable() or character in JOINERS else "\ufffd"
