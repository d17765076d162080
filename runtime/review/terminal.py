"""The review in a terminal: one prompt after the other, a key for each question."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from ftspec.runtime.review.answers import Answer, Review
from ftspec.runtime.review.judgements import QUESTIONS, Judgements, Verdict
from ftspec.spec.render import printable

KEYS: dict[str, Verdict] = {"a": "a", "b": "b", "s": "both", "n": "neither"}
BACK, QUIT = ("\x7f", "\x08", "u"), ("q", "\x1b", "\x04")
HELP = "a: A alone   b: B alone   s: both   n: neither   u: back   e: as in the data   q: end"
SAID = {"a": "A alone", "b": "B alone", "both": "both", "neither": "neither"}

Place = tuple[int, int]  # a prompt, and a question of it, both from 0


def ask(
    review: Review,
    found: Judgements,
    file: Path,
    say: Callable[[str], None],
    key: Callable[[], str],
) -> Judgements:
    """Ask for all judgements that are open, and keep each in `file` as it is given.

    say: prints a line. key: returns the next key pressed; KeyboardInterrupt and EOFError end it as
    `q` does. Raises OSError where the file cannot be written.
    """
    questions = list(QUESTIONS)
    place = _first_open(review, found, questions)
    shown = None
    while place is not None:
        number, asked = place
        item = review.items[number]
        if shown != number:
            for line in _lines(review, number):
                say(line)
            shown = number
        say(QUESTIONS[questions[asked]])
        pressed = _pressed(key)
        if pressed in QUIT:
            break
        if pressed in BACK:
            place = _before(place, len(questions))
            continue
        if pressed not in KEYS:
            for line in _indented(item.expected) if pressed == "e" else [f"  {HELP}"]:
                say(line)
            continue
        verdict = KEYS[pressed]
        found = found.with_verdict(item.id, questions[asked], verdict)
        found.save(file)
        say(f"  {SAID[verdict]}")
        place = _after(place, review, found, questions)
    return found


def _pressed(key: Callable[[], str]) -> str:
    try:
        return key().lower()
    except (KeyboardInterrupt, EOFError):
        return QUIT[0]


def _first_open(review: Review, found: Judgements, questions: list[str]) -> Place | None:
    """Return the first question of the first prompt that is not judged; None: all are."""
    for number, item in enumerate(review.items):
        given = found.verdicts.get(item.id, {})
        for asked, question in enumerate(questions):
            if question not in given:
                return number, asked
    return None


def _after(place: Place, review: Review, found: Judgements, questions: list[str]) -> Place | None:
    """Return the next question of this prompt; after the last one, what is still open."""
    number, asked = place
    if asked + 1 < len(questions):
        return number, asked + 1
    return _first_open(review, found, questions)


def _before(place: Place, questions: int) -> Place:
    number, asked = place
    if asked > 0:
        return number, asked - 1
    return (number - 1, questions - 1) if number > 0 else place


def _lines(review: Review, number: int) -> Iterator[str]:
    """Yield a prompt and its answers A and B, safe for a terminal."""
    item = review.items[number]
    yield ""
    yield f"--- Prompt {item.id} of {len(review.items)} " + "-" * 40
    for role, content in item.turns:
        yield f"{printable(role)}:"
        yield from _indented(content)
    for name, answer in zip("AB", review.shown(item), strict=True):
        yield ""
        yield f"{name}:"
        yield from _answer(answer, review.max_new_tokens)
    yield ""
    yield HELP
    yield ""


def _answer(answer: Answer, limit: int) -> Iterator[str]:
    yield from _indented(answer.text or "(it says nothing)")
    if not answer.ended:
        yield f"  (cut off after {limit} tokens)"


def _indented(text: str) -> Iterator[str]:
    return (f"  {printable(line.expandtabs(4))}" for line in text.splitlines())
