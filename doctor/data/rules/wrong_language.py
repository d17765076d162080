"""Answers in another language than the prompts' and the rest.

What it finds
    Answers whose script or small words are of another language than those of most rows of the
    file, to a prompt that is in the file's language and names no language. Languages are told
    by the script, and within the Latin script by small words (English, French, German, Spanish,
    Portuguese, Italian, Dutch, Swedish, Polish, Turkish, Indonesian).

Why it matters
    The model learns to change language for no reason that the prompt gives.

Evidence it needs
    20 rows whose language can be told, four in five of them alike.

Example
    ```
    {"instruction": "Name three fruits.", "output": "Son la manzana, el plátano y la pera."}
    ```

What to do
    Translate the answer, or remove the row. `ftspec data clean --fix wrong-language` sets it
    aside.

References
    Cavnar and Trenkle (1994) on telling languages by their most frequent words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from ftspec.doctor.data.example import Example
from ftspec.doctor.data.hits import Found, Hit, Hits, told
from ftspec.doctor.data.language import language_of, names_language
from ftspec.doctor.data.noted import Noted
from ftspec.doctor.data.rule import Asked
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

LEAST, SHARE = 20, 0.8  # rows whose language is told, and the share of the most common one


class Languages:
    """Counts the languages of answers, and notes rows whose answer differs from its prompt."""

    def __init__(self, asked: Asked) -> None:
        self._counts: dict[int, Counter[str]] = {}
        self._found = Noted()

    def see(self, file: int, example: Example) -> None:
        """Tell the language of a row's answer."""
        if not example.answers:
            return
        language = language_of(example.answer)
        if not language:
            return
        counts = self._counts.setdefault(file, Counter())
        counts[language] += 1
        if language == "English" and 2 * counts[language] > counts.total():
            return  # most rows of most files end here
        asked = language_of(example.prompt)
        if asked == language or names_language(example.prompt):
            return
        words = f"the answer is {language}" + (f", the prompt {asked}" if asked else "")
        hit = Hit(words, example.answer)
        self._found.note(file, example.record, f"{language} {asked}", hit)

    def take(self, later: Languages) -> None:
        """Take in the answers that another told the language of."""
        for file, counts in later._counts.items():
            self._counts.setdefault(file, Counter()).update(counts)
        self._found.take(later._found)

    def found(self) -> Iterator[Found]:
        """Yield the rows that are not in the language of their file."""
        main = {file: _main(counts) for file, counts in self._counts.items()}
        yield from self._found.found(lambda file, label: _differs(main[file], label))

    def about(self, file: int) -> Mapping[str, Any] | None:
        """Say nothing of the file as a whole."""


def _main(counts: Counter[str]) -> str:
    """Return the language of a file; empty where it has none."""
    language, count = counts.most_common(1)[0]
    return language if counts.total() >= LEAST and count >= SHARE * counts.total() else ""


def _differs(main: str, label: str) -> bool:
    language, asked = label.split(" ")
    return bool(main) and language != main and asked in ("", main)


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for answers in another language."""
    yield from told(
        RULE,
        hits,
        "{rows} {are} answered in another language",
        help="translate the answers, or remove the rows",
        confidence=0.8,
    )


RULE = Rule("FT546", "wrong-language", Severity.WARNING, find)
