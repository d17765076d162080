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

from collections.abc import Iterator, Mapping
from typing import Any

from ftspec.doctor.data.example import Example
from ftspec.doctor.data.hits import Hit, Hits, told
from ftspec.doctor.data.language import language_of, names_language
from ftspec.doctor.data.rule import Asked, Found
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

LEAST, SHARE = 20, 0.8  # rows whose language is told, and the share of the most common one


class Languages:
    """Counts the languages of answers, and notes rows whose answer differs from its prompt."""

    def __init__(self, asked: Asked) -> None:
        self._counts: dict[int, dict[str, int]] = {}
        self._found: list[tuple[Found, str, str]] = []

    def see(self, file: int, example: Example) -> None:
        """Tell the language of a row's answer."""
        if not example.answers:
            return
        language = language_of(example.answer)
        if not language:
            return
        counts = self._counts.setdefault(file, {})
        counts[language] = counts.get(language, 0) + 1
        common = counts.get("English", 0) if language != "English" else 0
        if language == "English" and 2 * counts[language] > sum(counts.values()):
            return  # most rows of most files end here
        asked = language_of(example.prompt)
        if asked == language or (not asked and not common) or names_language(example.prompt):
            return
        record = example.record
        words = f"the answer is {language}" + (f", the prompt {asked}" if asked else "")
        found = Found(file, record.number, record.line, Hit(words, example.answer))
        self._found.append((found, language, asked))

    def found(self) -> Iterator[Found]:
        """Yield the rows that are not in the language of their file."""
        for found, language, asked in self._found:
            counts = self._counts[found.file]
            total = sum(counts.values())
            main = max(counts, key=lambda name: counts[name])
            if total >= LEAST and counts[main] >= SHARE * total and language != main:
                if asked in ("", main):
                    yield found

    def about(self, file: int) -> Mapping[str, Any] | None:
        """Say nothing of the file as a whole."""


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
