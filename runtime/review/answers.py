"""What is judged: the answers that review.py wrote, and which of them is shown first."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAME = "review.json"
WORDS = {list: "a list", dict: "a mapping", str: "text", int: "a number", bool: "true or false"}


class NotAReviewError(Exception):
    """A file does not hold what review.py writes; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered; `ended` is False where it was cut off at the limit."""

    text: str
    ended: bool


@dataclass(frozen=True, slots=True)
class Item:
    """A prompt (its turns: who speaks, and what is said), and what both models answer."""

    id: int
    turns: tuple[tuple[str, str], ...]
    expected: str
    base: Answer
    tuned: Answer


@dataclass(frozen=True, slots=True)
class Review:
    """All prompts of a review. `digest` is a hash of its file: judgements name it."""

    digest: str
    seed: int
    rows: int
    max_new_tokens: int
    items: tuple[Item, ...]

    def shown(self, item: Item) -> tuple[Answer, Answer]:
        """Return the answers as they are shown: A and B."""
        if item.id in tuned_first(self.digest, self.seed, len(self.items)):
            return item.tuned, item.base
        return item.base, item.tuned


@functools.cache
def tuned_first(digest: str, seed: int, count: int) -> frozenset[int]:
    """Return the prompts (from 1 to `count`) whose answer A is the tuned model's: half of them.

    Which half is drawn by the seed and the answers' hash, so that no two reviews are alike, and
    judgements can be read without the answers.
    """

    def draw(number: int) -> bytes:
        return hashlib.sha256(f"{seed}:{digest}:{number}".encode()).digest()

    return frozenset(sorted(range(1, count + 1), key=draw)[: (count + draw(0)[0] % 2) // 2])


def read_review(path: Path) -> Review:
    """Read review.json. Raises OSError; NotAReviewError where it holds something else."""
    content = path.read_bytes()
    try:
        found = json.loads(content)
    except ValueError as error:
        raise NotAReviewError(f"`{path}` is not JSON: {error}") from None
    try:
        items = tuple(_item(entry) for entry in _of(found, "items", list))
        if not items or [item.id for item in items] != [*range(1, len(items) + 1)]:
            raise NotAReviewError("there are no prompts, numbered from 1")
        return Review(
            hashlib.sha256(content).hexdigest()[:16],
            _of(found, "seed", int),
            _of(found, "rows", int),
            _of(found, "max_new_tokens", int),
            items,
        )
    except NotAReviewError as error:
        raise NotAReviewError(f"`{path}` is not what review.py writes: {error}") from None


def _item(entry: Any) -> Item:
    turns = tuple(
        (_of(turn, "role", str), _of(turn, "content", str)) for turn in _of(entry, "turns", list)
    )
    answers = (
        Answer(_of(given, "text", str), _of(given, "ended", bool))
        for given in (_of(entry, name, dict) for name in ("base", "tuned"))
    )
    return Item(_of(entry, "id", int), turns, _of(entry, "expected", str), *answers)


def _of(found: Any, key: str, kind: type) -> Any:
    """Return a value of a mapping that has to be of a kind."""
    value = found.get(key) if isinstance(found, Mapping) else None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise NotAReviewError(f"`{key}` is not {WORDS[kind]}")
    return value
