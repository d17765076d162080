"""Which format a row is in, told from its own keys: the compiler's five, and preference pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ftspec.compiler.facts.formats import columns_of
from ftspec.doctor.data.record import Record

CHAT = ("messages", "sharegpt")
PAIRS = (("chosen", "rejected"), ("chosen_messages", "rejected_messages"))
PROMPTS = ("prompt", "instruction", "question", "conversations", "messages", "input")
# Columns that name a category: of these the first that a row has is its label.
LABELS = ("label", "category", "class", "intent", "topic", "task", "task_type", "domain")
HEAD = 200  # rows looked at for the format of a file


class Layout(NamedTuple):
    """A format, and the column of each of its fields."""

    format: str
    columns: Mapping[str, str]


class Layouts:
    """Tells the layout of rows; each set of keys is looked at once.

    `given` is the layout that a spec names; rows that lack its columns are then at fault.
    `main` is the layout of most rows at the head of the file.
    """

    def __init__(self, given: Layout | None = None) -> None:
        self.given = given
        self.main = given
        self._known: dict[tuple[str, ...], Layout | None] = {}

    def learn(self, head: Iterable[Record]) -> None:
        """Settle which layout most rows of a file have."""
        if self.given is not None:
            return
        found = (self.of(r.value) for r in head if isinstance(r.value, dict))
        votes = Counter(_key(layout) for layout in found if layout is not None)
        if votes:
            format, columns = votes.most_common(1)[0][0]
            self.main = Layout(format, dict(columns))

    def of(self, row: Mapping[str, Any]) -> Layout | None:
        """Return the layout of a row; None where its keys are of no known format."""
        keys = tuple(row)
        try:
            layout = self._known[keys]
        except KeyError:
            layout = self.given if self._has_given(keys) else None
            if self.given is None:
                layout = _layout(keys)
            if len(self._known) > 10_000:  # keys that are data: not a table worth keeping
                self._known.clear()
            self._known[keys] = layout
        if layout is not None and layout.format in CHAT and self.given is None:
            return _by_turns(row, layout)
        return layout

    def _has_given(self, keys: tuple[str, ...]) -> bool:
        return self.given is not None and all(
            column in keys
            for name, column in self.given.columns.items()
            if name not in ("input", "from", "value", "role", "content")
        )


def _key(layout: Layout) -> tuple[str, tuple[tuple[str, str], ...]]:
    required = {name: column for name, column in layout.columns.items() if name != "input"}
    return layout.format, tuple(sorted(required.items()))


def _layout(keys: tuple[str, ...]) -> Layout | None:
    for chosen, rejected in PAIRS:
        if chosen in keys and rejected in keys:
            prompt = next((name for name in PROMPTS if name in keys), "")
            found = {"chosen": chosen, "rejected": rejected}
            return Layout("preference", {**found, "prompt": prompt} if prompt else found)
    for name in ("messages", "sharegpt", "alpaca", "prompt-completion", "text"):
        columns = columns_of(name, keys)
        if columns is not None:
            return Layout(name, columns)
    return None


_MESSAGES = {"role": "role", "content": "content"}
_SHAREGPT = {"from": "from", "value": "value"}


def _by_turns(row: Mapping[str, Any], layout: Layout) -> Layout:
    """Tell messages from sharegpt by the keys of the turns, as the compiler's readers do."""
    column = layout.columns.get("messages") or layout.columns["conversations"]
    turns = row[column]
    kind = layout.format
    if isinstance(turns, list) and turns and isinstance(turns[0], dict):
        if "role" in turns[0]:
            kind = "messages"
        elif "from" in turns[0]:
            kind = "sharegpt"
    if kind == "messages":
        return Layout(kind, {"messages": column, **_MESSAGES})
    return Layout(kind, {"conversations": column, **_SHAREGPT})
