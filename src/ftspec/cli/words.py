"""What several words on the command line name: one thing together, or several in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Row = TypeVar("Row")

LONGEST = 8  # words of one name
BROAD = 8  # a part that fits more rows is half a name: with a word that fits none it is told whole


class NothingFitsError(Exception):
    """Words that fit no row; `text` is what was asked for."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


def rows_of_words(text: str, fitting: Callable[[str], Sequence[Row]]) -> list[Row]:
    """Return the rows that a text means: as one name where it fits some, else as several.

    `fitting` returns the rows that one name fits. Several are taken from the left, each as long as
    it can be; commas part them as well. Raises NothingFitsError.
    """
    found = list(fitting(text))
    if found:
        return found
    for part in text.split(","):
        for rows in _several(part.split(), fitting):
            found += [row for row in rows if row not in found]
    if not found:
        raise NothingFitsError(text)
    return found


def _several(words: list[str], fitting: Callable[[str], Sequence[Row]]) -> Iterator[Sequence[Row]]:
    at, before = 0, ""
    while at < len(words):
        for end in range(min(len(words), at + LONGEST), at, -1):
            name = " ".join(words[at:end])
            rows = fitting(name)
            if rows:
                break
        else:
            raise NothingFitsError(f"{before} {words[at]}".strip())
        yield rows
        before, at = name if len(rows) > BROAD else "", end
