"""The keys of one config.json, read one by one; every fault is kept, and all are told at once."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from ftspec.spec.finding import Place

# Beyond these a config.json is taken for a mistake. The largest public models have 126 blocks
# (Llama-3.1 405B), widths of 53,248, 384 experts and 10**12 parameters (Kimi K2).
MOST_LAYERS = 1_000
MOST_WIDTH = 2**20
MOST_VOCAB = 2**24
MOST_POSITIONS = 2**30
MOST_EXPERTS = 4_096
MOST_PARAMETERS = 10**13


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a model's files.

    words: what is wrong with it; route: the keys to it, empty for the file as
    a whole; expected: what should stand there; missing: a key that is not there; place: where it
    stands, or the object that lacks it, in a file of text.
    """

    words: str
    route: tuple[str, ...] = ()
    expected: str = ""
    missing: bool = False
    place: Place | None = None


class ModelUnreadableError(Exception):
    """The model's config cannot be read; the message says which file and why.

    `faults`: all of them, where the file `shown` could be read at all.
    """

    def __init__(self, words: str, faults: Sequence[Fault] = (), shown: str = "") -> None:
        super().__init__(words)
        self.faults, self.shown = tuple(faults), shown

    @property
    def lines(self) -> str:
        """The message; of several faults a line each, in the order of the file."""
        if len(self.faults) < 2:
            return str(self)
        found = []
        for fault in self.faults:
            at = (fault.place.line, fault.place.column) if fault.place else (0, 0)
            where = f"{self.shown}:{at[0]}:{at[1]}: " if fault.place else ""
            more = f": {fault.expected}" if fault.missing else ""
            found.append((at, f"  {where}{fault.words}{more}"))
        shown = [line for _, line in sorted(found)]
        return "\n".join([f"`{self.shown}` has {len(found)} faults", *shown])

    def placed(self, text: str, more: Sequence[Fault] = ()) -> ModelUnreadableError:
        """Return the error with the places of its faults in the text of a config.json.

        `more`: faults that were found in reading the text, placed already.
        """
        from ftspec.compiler.facts.json_places import place_in

        if not self.faults:
            return self
        faults = [replace(fault, place=place_in(text, self.shown, fault)) for fault in self.faults]
        return refusal([*more, *faults], self.shown)

    def renamed(self, names: Mapping[str, str]) -> ModelUnreadableError:
        """Return the error with the keys called by other names, those of a GGUF header."""
        faults = []
        for fault in self.faults:
            words = fault.words
            for name in fault.route:
                words = words.replace(f"`{name}`", f"`{names.get(name, name)}`")
            route = tuple(names.get(name, name) for name in fault.route)
            faults.append(replace(fault, words=words, route=route))
        return refusal(faults, self.shown) if faults else self


class MissingKeyError(ModelUnreadableError):
    """A config lacks keys that its family must state."""


def refusal(faults: Sequence[Fault], shown: str) -> ModelUnreadableError:
    """Return the error that tells all faults: MissingKeyError where keys are missing alone."""
    missing = all(fault.missing for fault in faults)
    kind = MissingKeyError if missing else ModelUnreadableError
    return kind(told(faults, shown), faults, shown)


def told(faults: Sequence[Fault], shown: str) -> str:
    """Return all faults of a file in one line: the keys that it lacks, then the others."""
    missing = [f"`{fault.route[-1]}`" for fault in faults if fault.missing]
    others = "; ".join(fault.words for fault in faults if not fault.missing)
    if not missing:
        return f"`{shown}`: {others}"
    return f"`{shown}` has no {', '.join(missing)}" + (f"; {others}" if others else "")


class Keys:
    """The keys of one config. A faulty one is kept in `faults`, and read as its default or 1.

    `known`: its family is, so that a key in a form that is not known is a lie; `inside`: the keys
    of a `text_config`, which is where those stand.
    """

    def __init__(
        self, config: Mapping[str, Any], shown: str, known: bool, inside: Sequence[str] = ()
    ) -> None:
        self.config, self.shown, self.known = config, shown, known
        self.inside = frozenset(inside)
        self.faults: list[Fault] = []
        self._faulty: set[str] = set()
        self.layers = self.number(
            "num_hidden_layers", "n_layer", "n_layers", "num_layers", most=MOST_LAYERS
        )

    def number(
        self, *names: str, default: int | None = None, least: int = 1, most: int = MOST_WIDTH
    ) -> int:
        """Return the first of these keys that is there; null counts as absent.

        Where it is no whole number from `least` to `most`, or absent without a default, it is a
        fault under the first name.
        """
        stand_in = max(least, 1) if default is None else default
        expected = f"a whole number from {least:,} to {most:,}"
        for name in names:
            value = self.config.get(name)
            if value is None:
                continue
            if isinstance(value, list | dict) and not self.known:
                break  # an unknown family may write it so, for each block
            if isinstance(value, bool) or not isinstance(value, int):
                self._fault(names[0], name, f"is {short(value)}, not a whole number", expected)
            elif not least <= value <= most:
                found = short(value) if abs(value) >= 10**40 else f"{value:,}"
                words = f"is {found}, not between {least:,} and {most:,}"
                self._fault(names[0], name, words, expected)
            else:
                return value
            return stand_in
        if default is None:
            self.lacks(names[0], expected)
        return stand_in

    def flag(self, name: str, default: bool) -> bool:
        """Return a switch; what is neither true nor false is a fault."""
        value = self.config.get(name)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self._fault(name, name, f"is {short(value)}, not true or false", "true or false")
        return default

    def lacks(self, name: str, expected: str) -> None:
        """Keep that a key is not there."""
        self._faulty.add(name)
        self.faults.append(Fault(f"has no `{name}`", self._route(name), expected, missing=True))

    def refuse(self, words: str, name: str = "", expected: str = "") -> None:
        """Keep any other fault."""
        self.faults.append(Fault(words, self._route(name) if name else (), expected))

    def contradiction(self, names: Sequence[str], words: str, expected: str) -> None:
        """Keep that keys contradict each other, unless one of them is faulty by itself.

        The fault stands at the first of them that is there.
        """
        if not self._faulty & set(names):
            at = next((name for name in names if self.config.get(name) is not None), names[0])
            self.refuse(words, at, expected)

    def raise_faults(self) -> None:
        """Raise what was found, where something was."""
        if self.faults:
            raise refusal(self.faults, self.shown)

    def _fault(self, first: str, name: str, words: str, expected: str) -> None:
        self._faulty.add(first)
        self.faults.append(Fault(f"`{name}` {words}", self._route(name), expected))

    def _route(self, name: str) -> tuple[str, ...]:
        return ("text_config", name) if name in self.inside else (name,)


def refuse_json(words: str, shown: str, place: Place | None = None) -> NoReturn:
    """Raise that a file as a whole cannot be read."""
    raise refusal([Fault(words, expected="a JSON object", place=place)], shown)


def short(value: object) -> str:
    """Return what a value looks like, of at most 64 characters."""
    shown = reprlib.repr(value)
    return shown if len(shown) <= 64 else f"{shown[:61]}..."
