"""What the judgements say of the tuned model: win rates with their intervals."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ftspec.runtime.review.answers import tuned_first
from ftspec.runtime.review.judgements import QUESTIONS, Judgements

Z = 1.959964  # the normal distribution's 97.5 % point


@dataclass(frozen=True, slots=True)
class Tally:
    """How often a question was answered for the tuned model, the base, both and neither."""

    tuned: int = 0
    base: int = 0
    both: int = 0
    neither: int = 0

    @property
    def judged(self) -> int:
        """How many prompts were judged."""
        return self.tuned + self.base + self.both + self.neither

    @property
    def decided(self) -> int:
        """How many prompts told the two apart."""
        return self.tuned + self.base

    @property
    def win_rate(self) -> float | None:
        """The tuned model's share of the prompts that told them apart; None without any."""
        return self.tuned / self.decided if self.decided else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the win rate."""
        return wilson(self.tuned, self.decided) if self.decided else None

    def as_json(self) -> dict[str, Any]:
        """Return counts and shares; shares are None where nothing was judged."""
        low, high = self.interval or (None, None)
        share = {
            "tuned_passes": (self.tuned + self.both) / self.judged if self.judged else None,
            "base_passes": (self.base + self.both) / self.judged if self.judged else None,
        }
        counts = {name: getattr(self, name) for name in ("tuned", "base", "both", "neither")}
        return {**counts, **share, "win_rate": self.win_rate, "low": low, "high": high}


def wilson(wins: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of `count` > 0 by Wilson's score.

    Wilson 1927 (JASA 22:209); it holds its level for few draws and at 0 and 1, where the usual
    interval does not (Brown, Cai, DasGupta 2001, Statistical Science 16:101).
    """
    share, spread = wins / count, Z * Z / count
    middle = share + spread / 2
    half = Z * math.sqrt(share * (1 - share) / count + spread / (4 * count))
    low, high = ((middle + side * half) / (1 + spread) for side in (-1, 1))
    return (0.0 if wins == 0 else low), (1.0 if wins == count else high)


def tallies(found: Judgements) -> dict[str, Tally]:
    """Count the verdicts by question, with the answers' names in place of A and B."""
    first = tuned_first(found.digest, found.seed, found.count)
    counts = {question: Counter[str]() for question in QUESTIONS}
    for item, given in found.verdicts.items():
        whose = {"a": "tuned", "b": "base"} if item in first else {"a": "base", "b": "tuned"}
        for question, verdict in given.items():
            counts[question][whose.get(verdict, verdict)] += 1
    return {question: Tally(**count) for question, count in counts.items()}


def as_json(found: Judgements) -> dict[str, Any]:
    """Return the summary for programs."""
    return {
        "schema_version": 1,
        "prompts": found.count,
        "judged": sum(1 for given in found.verdicts.values() if given),
        "questions": {name: tally.as_json() for name, tally in tallies(found).items()},
    }


def lines(found: Judgements) -> Iterator[str]:
    """Yield the summary for people: a table, and what it comes to."""
    counted = tallies(found)
    begun = sum(1 for given in found.verdicts.values() if given)
    yield f"{begun} of {found.count} prompts judged"
    yield ""
    wide = max(map(len, QUESTIONS.values()))
    yield f"{'':<{wide}}  tuned   base   both  neither   tuned wins (95 % interval)"
    for question, words in QUESTIONS.items():
        tally = counted[question]
        row = f"{words:<{wide}}  {tally.tuned:>5}  {tally.base:>5}  {tally.both:>5}"
        yield f"{row}  {tally.neither:>7}   {_share(tally)}"
    yield ""
    yield verdict(counted["send"])


def verdict(tally: Tally) -> str:
    """Say in a sentence which model is preferred, as far as that is decided."""
    if tally.interval is None:
        return "No prompt has told the two apart yet."
    low, high = tally.interval
    of = f"{tally.tuned} of the {tally.decided} prompts that told them apart"
    if low > 0.5:
        return f"The tuned model is preferred: in {of}."
    if high < 0.5:
        return f"The base is preferred: the tuned model won in {of}."
    return f"Not decided: the tuned model won in {of}, and the interval holds 50 %."


def _share(tally: Tally) -> str:
    if tally.win_rate is None or tally.interval is None:
        return "-"
    low, high = tally.interval
    return f"{tally.win_rate:.0%} ({low:.0%} to {high:.0%})".replace("%", " %")
