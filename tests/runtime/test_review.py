"""Judging blind: the order of answers, judgements in files, the terminal, and what they come to."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reviews import review_json, write_review

from ftspec.runtime.review.answers import NotAReviewError, Review, read_review, tuned_first
from ftspec.runtime.review.judgements import (
    QUESTIONS,
    Judgements,
    NotJudgementsError,
    read_judgements,
)
from ftspec.runtime.review.summary import Tally, as_json, lines, tallies, verdict, wilson
from ftspec.runtime.review.terminal import ask


@pytest.fixture
def review(tmp_path: Path) -> Review:
    return read_review(write_review(tmp_path / "review.json"))


def test_answers_are_read(review: Review) -> None:
    assert [item.id for item in review.items] == [1, 2, 3, 4, 5, 6]
    assert review.items[0].turns == (("user", "question 1 "),)
    assert (review.seed, review.rows, review.max_new_tokens) == (42, 6, 256)
    assert not review.items[2].base.ended and review.items[2].tuned.ended


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"items": []}, "no prompts"),
        ({"items": [{"id": 1}]}, "`turns` is not a list"),
        ({"seed": True}, "`seed` is not a number"),
        ({"items": "many"}, "`items` is not a list"),
    ],
)
def test_what_is_no_review_is_refused(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(NotAReviewError, match=words):
        read_review(write_review(tmp_path / "review.json", **change))


def test_a_review_that_is_no_json_or_skips_a_number_is_refused(tmp_path: Path) -> None:
    items = review_json(3)["items"]
    with pytest.raises(NotAReviewError, match="numbered from 1"):
        read_review(write_review(tmp_path / "review.json", items=items[1:]))
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(NotAReviewError, match="is not JSON"):
        read_review(tmp_path / "broken.json")


@pytest.mark.parametrize("count", [1, 2, 19, 20])
def test_half_of_the_prompts_show_the_tuned_answer_first(count: int) -> None:
    drawn = [tuned_first(digest, 42, count) for digest in ("a", "b", "c", "d", "e", "f", "g")]
    assert {len(first) for first in drawn} <= {count // 2, (count + 1) // 2}
    assert all(first <= set(range(1, count + 1)) for first in drawn)
    assert len(set(drawn)) > 1, "each review has an order of its own"
    assert tuned_first("a", 42, count) == drawn[0]
    seeds = {tuned_first("a", seed, count) for seed in range(20)}
    assert len(seeds) > 1


def test_what_is_shown_is_what_is_counted(review: Review) -> None:
    """Whoever always takes the tuned answer, by reading it, is counted for the tuned model."""
    found = Judgements.none_of(review)
    for item in review.items:
        tuned = "a" if review.shown(item)[0].text.startswith("tuned") else "b"
        found = found.with_verdict(item.id, "send", tuned)
        found = found.with_verdict(item.id, "length", "b" if tuned == "a" else "a")
    found = found.with_verdict(1, "tone", "both").with_verdict(2, "tone", "neither")
    counted = tallies(found)
    assert counted["send"] == Tally(tuned=6)
    assert counted["length"] == Tally(base=6)
    assert counted["tone"] == Tally(both=1, neither=1)
    assert counted["accuracy"] == Tally()


@pytest.mark.parametrize(
    ("wins", "count", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),  # Brown, Cai, DasGupta 2001's form, as statsmodels computes it
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (15, 20, 0.5313, 0.8881),
    ],
)
def test_wilson(wins: int, count: int, low: float, high: float) -> None:
    assert wilson(wins, count) == pytest.approx((low, high), abs=1e-4)


def test_wilson_ends_where_the_share_seen_is_just_possible() -> None:
    """Its definition: each end lies 1.96 of its own standard errors from the share seen."""
    for wins, count in ((3, 7), (1, 30), (19, 25)):
        for end in wilson(wins, count):
            error = math.sqrt(end * (1 - end) / count)
            assert abs(wins / count - end) == pytest.approx(1.959964 * error)


def test_the_conclusion_follows_the_interval() -> None:
    assert "No prompt has told" in verdict(Tally(both=5))
    assert verdict(Tally(tuned=9, base=1)).startswith("The tuned model is preferred: in 9 of")
    assert verdict(Tally(tuned=1, base=9)).startswith("The base is preferred: the tuned")
    assert verdict(Tally(tuned=6, base=4)).startswith("Not decided: the tuned model won in 6 of")


def test_the_summary_for_people_and_for_programs(review: Review) -> None:
    found = Judgements.none_of(review).with_verdict(1, "send", "both")
    shown = list(lines(found))
    assert shown[0] == "1 of 6 prompts judged"
    assert all(words in "\n".join(shown) for words in QUESTIONS.values())
    assert max(map(len, shown)) <= 90
    told = as_json(found)
    assert (told["prompts"], told["judged"]) == (6, 1)
    assert told["questions"]["send"] == {
        **{"tuned": 0, "base": 0, "both": 1, "neither": 0},
        **{"tuned_passes": 1.0, "base_passes": 1.0, "win_rate": None, "low": None, "high": None},
    }
    assert told["questions"]["tone"]["tuned_passes"] is None


def test_judgements_are_kept_and_read_again(review: Review, tmp_path: Path) -> None:
    file = tmp_path / "kept.json"
    found = Judgements.none_of(review).with_verdict(2, "tone", "a").with_verdict(2, "send", "b")
    found.save(file)
    assert read_judgements(file, review) == found
    found.with_verdict(2, "tone", None).save(file)
    assert read_judgements(file).verdicts == {2: {"send": "b"}}
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"judgements": {"9": {"send": "a"}}}, "judges prompt 9 of 6"),
        ({"judgements": {"1": {"send": "c"}}}, "says 'c' of 'send'"),
        ({"judgements": {"1": {"sent": "a"}}}, "says 'a' of 'sent'"),
        ({"judgements": {"1": {"send": ["a"]}}}, "unknown"),
        ({"judgements": {"one": {}}}, "holds no judgements"),
        ({"judgements": [1]}, "holds no judgements"),
        ({"prompts": "6"}, "holds no judgements"),
        ({"seed": -1}, "holds no judgements"),
        ({"review": "another"}, "judges other answers"),
    ],
)
def test_what_is_no_judgement_is_refused(
    change: dict[str, Any], words: str, review: Review, tmp_path: Path
) -> None:
    file = tmp_path / "kept.json"
    file.write_text(json.dumps(Judgements.none_of(review).as_json() | change))
    with pytest.raises(NotJudgementsError, match=words):
        read_judgements(file, review)


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    for text in ("", "[]", "3", "{}", '"text"'):
        (tmp_path / "kept.json").write_text(text)
        with pytest.raises(NotJudgementsError):
            read_judgements(tmp_path / "kept.json")


class Terminal:
    """Somebody who presses keys, and what is printed for them."""

    def __init__(self, keys: str) -> None:
        self.keys: Iterator[str] = iter(keys)
        self.said: list[str] = []

    def key(self) -> str:
        pressed = next(self.keys)
        if pressed == "^":
            raise KeyboardInterrupt
        return pressed


def judged(review: Review, keys: str, file: Path, found: Judgements | None = None) -> Terminal:
    there = Terminal(keys)
    ask(review, found or Judgements.none_of(review), file, there.said.append, there.key)
    return there


def test_the_terminal_asks_and_keeps_each_answer(review: Review, tmp_path: Path) -> None:
    file = tmp_path / "kept.json"
    there = judged(review, "aBx snEq", file)
    kept = read_judgements(file, review)
    assert kept.verdicts == {
        1: {"send": "a", "instructions": "b", "tone": "both", "accuracy": "neither"}
    }
    assert sum("a: A alone" in line for line in there.said) == 3, "at first, and for x and space"
    assert there.said.count("  expected 1") == 1, "not before it is asked for"
    again = judged(review, "asn" + "b" * 7 + "^", file, kept)
    kept = read_judgements(file, review)
    assert list(kept.verdicts[1].values()) == ["a", "b", "both", "neither", "a", "both", "neither"]
    assert list(kept.verdicts[2].values()) == ["b"] * 7
    assert [line for line in again.said if line.startswith("---")][0].startswith(
        "--- Prompt 1 of 6"
    )
    judged(review, "a" * 7 * 4, file, kept)  # all that is left, and no key more
    kept = read_judgements(file, review)
    assert all(kept.judged(item.id) for item in review.items)
    assert judged(review, "", file, kept).said == []


def test_the_terminal_goes_back(review: Review, tmp_path: Path) -> None:
    file = tmp_path / "kept.json"
    judged(review, "a" * 7 + "u" * 3 + "b" * 3 + "q", file)
    kept = read_judgements(file, review)
    assert list(kept.verdicts[1].values()).count("b") == 3 and 2 not in kept.verdicts
    judged(review, "uuq", tmp_path / "none.json")  # before the first there is none
    assert not (tmp_path / "none.json").exists()


def test_the_terminal_never_says_whose_an_answer_is(review: Review, tmp_path: Path) -> None:
    there = judged(review, "q", tmp_path / "kept.json")
    told = [line for line in there.said if not line.startswith("  ")]
    assert "tuned" not in "".join(told) and "base" not in "".join(told)


def test_no_answer_reaches_the_terminal_as_a_command(tmp_path: Path) -> None:
    items = review_json(1)["items"]
    items[0]["tuned"]["text"] = "red \x1b[31m\x07\nline\ttwo\u202e"
    review = read_review(write_review(tmp_path / "review.json", items=items))
    said = "\n".join(judged(review, "q", tmp_path / "kept.json").said)
    assert "\x1b" not in said and "\x07" not in said and "\u202e" not in said
    assert "  line    two" in said or "  line  two" in said or "  line   two" in said
