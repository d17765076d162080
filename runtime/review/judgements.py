"""What a person said about the answers: seven questions a prompt, kept in a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ftspec.runtime.review.answers import Review

NAME = "judgements.json"  # beside review.json, for the terminal; the page's has the same form
Verdict = Literal["a", "b", "both", "neither"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

# What is asked of both answers: the whole, then the guide's six checks.
QUESTIONS: Mapping[str, str] = {
    "send": "Which would you send?",
    "instructions": "Follows the instructions",
    "tone": "Tone and style are right",
    "accuracy": "Factually accurate",
    "length": "As long as it should be",
    "hallucinations": "Nothing is made up",
    "edge-cases": "Handles what is unusual here",
}


class NotJudgementsError(Exception):
    """A file holds no judgements, or those of other answers; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Judgements:
    """Verdicts by prompt and question, of a review known by its digest, its seed and its size.

    They speak of A and B: whose answer that was, `tuned_first` says.
    """

    digest: str
    seed: int
    count: int
    verdicts: Mapping[int, Mapping[str, Verdict]]

    @classmethod
    def none_of(cls, review: Review) -> Judgements:
        """Return the judgements of a review before anything was judged."""
        return cls(review.digest, review.seed, len(review.items), {})

    def with_verdict(self, item: int, question: str, verdict: Verdict | None) -> Judgements:
        """Return them with one more verdict; None takes one back."""
        answers = {k: v for k, v in self.verdicts.get(item, {}).items() if k != question}
        if verdict is not None:
            answers[question] = verdict
        verdicts = {**self.verdicts, item: answers}
        return Judgements(self.digest, self.seed, self.count, verdicts)

    def judged(self, item: int) -> bool:
        """Say whether a prompt has an answer to each question."""
        return len(self.verdicts.get(item, {})) == len(QUESTIONS)

    def as_json(self) -> dict[str, Any]:
        """Return them in the form that is kept, which the page writes as well."""
        items = {str(item): dict(answers) for item, answers in self.verdicts.items() if answers}
        return {
            "schema_version": 1,
            "review": self.digest,
            "seed": self.seed,
            "prompts": self.count,
            "judgements": items,
        }

    def save(self, path: Path) -> None:
        """Write them, in one step. Raises OSError."""
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(self.as_json(), indent=1) + "\n", encoding="utf-8")
        partial.replace(path)


def read_judgements(path: Path, review: Review | None = None) -> Judgements:
    """Read judgements; those of another review than `review` are refused.

    Raises OSError; NotJudgementsError.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        digest, seed, count = found["review"], found["seed"], found["prompts"]
        verdicts = {int(item): dict(given) for item, given in found["judgements"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise NotJudgementsError(f"`{path}` holds no judgements") from None
    if not (isinstance(digest, str) and _number(seed) and _number(count)):
        raise NotJudgementsError(f"`{path}` holds no judgements")
    for item, given in verdicts.items():
        if not 1 <= item <= count:
            raise NotJudgementsError(f"`{path}` judges prompt {item} of {count}")
        for question, verdict in given.items():
            if question not in QUESTIONS or verdict not in VERDICTS:
                raise NotJudgementsError(f"`{path}` says {verdict!r} of {question!r}: unknown")
    if review is not None and digest != review.digest:
        raise NotJudgementsError(f"`{path}` judges other answers than those that are there now")
    return Judgements(digest, seed, count, verdicts)


def _number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
