"""How a rule on data looks at rows: one at a time, or over all of them with a memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from ftspec.doctor.data.counted import Counted
from ftspec.doctor.data.example import Example
from ftspec.doctor.data.hits import Found, Hit, Hits
from ftspec.doctor.data.store import HELD
from ftspec.spec.rule import Rule

NONE: Mapping[int, int] = MappingProxyType({})
Look = Callable[[Example], Hit | None]


class Watch(Protocol):
    """Sees every usable row in order, and says at the end what it found.

    Rows are seen some thousands at a time, each by a watch of its own, and `take` puts what one
    saw behind what is known: so several processes may look. `about` returns what it has to say
    of a file as a whole; None: nothing.
    """

    def see(self, file: int, example: Example) -> None:
        """Take in a row."""

    def take(self, later: Any) -> None:
        """Take in what another of its kind saw of the rows that follow."""

    def found(self) -> Iterator[Found]:
        """Yield the rows in which something was found, in any order."""

    def about(self, file: int) -> Mapping[str, Any] | None:
        """Return facts of a file that are a finding in themselves."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What watches are made from: how the check was asked for, and what rows of eval say."""

    near: bool = False
    presidio: Any = None  # its analyzer, where it is to be asked
    held: int = HELD  # entries of a store that are held in memory
    counted: Counted | None = None  # rows in tokens, where a tokenizer is at hand
    eval_prompts: Mapping[int, int] = field(
        default_factory=lambda: NONE
    )  # key of a prompt -> row of the held-out data


@dataclass(frozen=True, slots=True)
class DataRule:
    """A rule on data, with the one way it looks: at a row alone, or over all rows.

    `form`: it looks at the form of a row, also where that cannot be used. `beyond_ascii`: in a
    row that is all ASCII there is nothing for it to find.
    """

    rule: Rule[Hits]
    look: Look | None = None
    watch: Callable[[Asked], Watch] | None = None
    form: bool = False
    beyond_ascii: bool = False
