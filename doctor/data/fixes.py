"""What cleaning may do to a row: repair its texts, or set it aside. Nothing is deleted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from ftspec.doctor.data.mask import SPANS, replaced
from ftspec.doctor.data.rules import (
    control_characters,
    html_entities,
    mixed_normalization,
    mojibake,
    no_input_text,
)

Repair = Callable[[str], str]
ROUNDS = 4  # one repair may make room for another: `&amp;amp;`


@dataclass(frozen=True, slots=True)
class Fix:
    """What is done for a rule. `safe`: also where it is not asked for by name."""

    words: str
    repair: Repair | None = None
    safe: bool = True


def _hidden(place: int, text: str) -> str:
    _, spans, word = SPANS[place]
    found = spans(text)
    return replaced(text, found, word) if found else text


_ASIDE = "sets them aside"
# In the order in which texts are repaired: entities are decoded before what they hold is judged.
FIXES: Mapping[str, Fix] = MappingProxyType(
    {
        "html-entities": Fix("decodes them", html_entities.repair),
        "mojibake": Fix("decodes them rightly", mojibake.repair),
        "control-characters": Fix("removes them", control_characters.repair),
        "mixed-normalization": Fix("composes them", mixed_normalization.repair),
        "no-input-text": Fix("makes the input empty"),
        **{name: Fix(_ASIDE) for name in ("invalid-json", "wrong-type", "missing-field")},
        **{name: Fix(_ASIDE) for name in ("no-answer-turn", "not-finite", "lone-surrogate")},
        **{name: Fix(_ASIDE) for name in ("empty-answer", "placeholder-answer")},
        **{name: Fix(_ASIDE) for name in ("chosen-is-rejected", "leakage", "duplicate")},
        **{
            name: Fix(f"only with --fix {name}: {_ASIDE}", safe=False)
            for name in (
                *("near-duplicate", "role-order", "empty-turn", "truncated-answer"),
                *("answer-repeats-prompt", "refusal", "wrong-language", "merged-rows"),
            )
        },
        **{
            name: Fix(
                f"only with --fix {name}: puts {word} in their place", partial(_hidden, at), False
            )
            for at, (name, _, word) in enumerate(SPANS)
        },
    }
)
SAFE = tuple(name for name, fix in FIXES.items() if fix.safe)


def repaired(value: Any, names: tuple[str, ...]) -> tuple[Any, tuple[str, ...]]:
    """Return a row with its texts repaired, and the names of the fixes that changed one."""
    repairs = [(name, fix.repair) for name, fix in FIXES.items() if fix.repair and name in names]
    changed: set[str] = set()
    row = _texts(value, repairs, changed)
    if "no-input-text" in names and isinstance(row, dict):
        for column in ("input", "context"):
            text = row.get(column)
            if isinstance(text, str) and text and "instruction" in row:
                if len(text) <= 60 and no_input_text.says_none(text):
                    row = {**row, column: ""}
                    changed.add("no-input-text")
    return row, tuple(name for name in FIXES if name in changed)


def _texts(value: Any, repairs: list[tuple[str, Repair]], changed: set[str]) -> Any:
    if isinstance(value, str):
        return _text(value, repairs, changed)
    if isinstance(value, dict):
        return {name: _texts(item, repairs, changed) for name, item in value.items()}
    if isinstance(value, list):
        return [_texts(item, repairs, changed) for item in value]
    return value


def _text(text: str, repairs: list[tuple[str, Repair]], changed: set[str]) -> str:
    for _ in range(ROUNDS):
        before = text
        for name, repair in repairs:
            after = repair(text)
            if after != text:
                changed.add(name)
                text = after
        if text == before:
            break
    return text
