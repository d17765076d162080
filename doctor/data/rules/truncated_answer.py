"""Answers that end in the middle of a sentence.

What it finds
    Answers that end with a comma, an opened bracket, a hyphenated half of a word, a word that
    cannot end a sentence (the, of, and, because), or inside a code fence; and long prose that
    ends in a letter without a full stop, where at most one in ten of the file's long answers
    does so. Lists, code, verse, titles and addresses end as they like.

Why it matters
    The model learns to stop anywhere. Such answers come from a limit on the tokens of the model
    that wrote them.

Evidence it needs
    The file's long answers; a sure sign needs one row.

Example
    ```
    "The Great Wall was built over many centuries to protect the northern borders of the"
    ```

What to do
    Write the end, or remove the row. `ftspec data clean --fix truncated-answer` sets it aside.

References
    bench/data: precision and recall on answers cut at a random place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ftspec.doctor.data.example import Example
from ftspec.doctor.data.hits import Found, Hit, Hits, told
from ftspec.doctor.data.noted import Noted
from ftspec.doctor.data.rule import Asked
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

_NO_END = frozenset(
    "the a an and or but nor of to with for from by as at into onto than because although while if"
    " whether when which whose their its your our my his such very between through during including"
    " without within against every".split()
)
_WORD = re.compile(r"[A-Za-z']+\Z")
_ITEM = re.compile(r"\s*(?:[-*\u2022#>|]|\d+[.)]|[A-Za-z][.)] )|.*(?:https?://|www\.|@|#\w+\Z)")
_SENTENCE = re.compile(r"[a-z)\]\"'][.!?](?:\s|\Z)")
_LISTED = re.compile(r"\s*(?:[-*\u2022]|\d+[.)])\s")
_CODE = re.compile(r"[{}=;<>$]")
LONG, WORDS, FEW = 120, 8, 3  # characters of a long answer; words of its last line
SHARE = 0.1  # of long answers that end in a letter: more is the file's habit


class Truncated:
    """Notes answers that surely end too early, and those that may; the file's habit decides."""

    def __init__(self, asked: Asked) -> None:
        self._long: dict[int, int] = {}
        self._found = Noted()
        self._maybe: dict[int, int] = {}

    def see(self, file: int, example: Example) -> None:
        """Judge the last answer of a row."""
        answer = example.answer.rstrip()
        if len(answer) < 40:
            return
        long = len(answer) >= LONG
        if long:
            self._long[file] = self._long.get(file, 0) + 1
        last = answer[-1]
        if last in ".!?\u3002\uff01\uff1f\"'\u201d)}]>|" and not answer.endswith("..."):
            if last != "`" and answer.count("```") % 2 == 0:
                return
        words, sure = judge(answer, long)
        if not words:
            return
        hit = Hit(words, answer, max(0, len(answer) - 60))
        self._found.note(file, example.record, "sure" if sure else "maybe", hit)
        self._maybe[file] = self._maybe.get(file, 0) + (not sure)

    def take(self, later: Truncated) -> None:
        """Take in the answers that another judged."""
        for mine, other in ((self._long, later._long), (self._maybe, later._maybe)):
            for file, count in other.items():
                mine[file] = mine.get(file, 0) + count
        self._found.take(later._found)

    def found(self) -> Iterator[Found]:
        """Yield the rows that end too early."""
        yield from self._found.found(lambda file, label: label == "sure" or self._no_habit(file))

    def _no_habit(self, file: int) -> bool:
        return self._maybe.get(file, 0) <= SHARE * self._long.get(file, 0)

    def about(self, file: int) -> Mapping[str, Any] | None:
        """Say nothing of the file as a whole."""


def judge(answer: str, long: bool) -> tuple[str, bool]:
    """Return why an answer seems cut, empty where it does not; and whether that is sure."""
    if answer.count("```") % 2:
        return "ends inside a code fence", True
    before, _, last_line = answer.rpartition("\n")
    words = len(last_line.split())
    if _ITEM.match(last_line) and not last_line.endswith(","):
        return ("ends without a full stop", False) if _cut_item(before, last_line) else ("", False)
    if answer[-1] in ",([{\u2014" and words >= 4 and "```" not in answer:
        return f"ends with `{answer[-1]}`", True
    match = _WORD.search(last_line)
    if match is None:
        return "", False
    if match[0] in _NO_END and words >= 4:
        return f"ends with the word `{match[0]}`", True
    # A line of few words may be a title or a name, unless sentences lead to it.
    led = before.rstrip()[-1:] in (".", "!", "?") and words >= FEW and last_line[:1].isupper()
    prose = long and _SENTENCE.search(answer) and not _CODE.search(last_line)
    return ("ends without a full stop", False) if prose and (led or words >= WORDS) else ("", False)


def _cut_item(before: str, last_line: str) -> bool:
    """Say whether a list's last item ends in a letter, where all before it are sentences."""
    items = [line.rstrip() for line in before.split("\n") if _LISTED.match(line)]
    if len(items) < 2 or not _LISTED.match(last_line) or not last_line[-1:].isalpha():
        return False
    return all(item[-1:] in ".!?" for item in items)


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for truncated answers."""
    yield from told(
        RULE,
        hits,
        "{rows} {have} an answer that ends in the middle of a sentence",
        help="write the end, or remove the row",
        confidence=0.8,
    )


RULE = Rule("FT543", "truncated-answer", Severity.WARNING, find)
