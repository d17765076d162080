"""A YAML document as a tree of nodes, each of which knows where it stands in the text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ftspec.spec.finding import Place, Route


@dataclass(frozen=True, slots=True)
class Span:
    """A span of the text, in characters from its start; the end is exclusive."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value."""

    value: str | int | float | bool | None
    span: Span


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list of nodes."""

    items: tuple[Node, ...]
    span: Span
    flow: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of a mapping with its value."""

    key_span: Span
    node: Node


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping of string keys to entries, in the order of the text."""

    entries: Mapping[str, Entry]
    span: Span
    flow: bool = False


Node = Scalar | Sequence | Table


def plain(node: Node) -> Any:
    """Return the node as plain Python data: dict, list, str, int, float, bool or None."""
    match node:
        case Scalar():
            return node.value
        case Sequence():
            return [plain(item) for item in node.items]
        case Table():
            return {key: plain(entry.node) for key, entry in node.entries.items()}


def descend(root: Node, route: Route) -> tuple[Entry | None, Node, int]:
    """Follow `route` down from `root` as far as it goes.

    Returns the last entry passed (None at the root or inside a list), the node reached, and
    how many steps of the route were followed.
    """
    entry: Entry | None = None
    node = root
    for depth, step in enumerate(route):
        match node:
            case Table() if isinstance(step, str) and step in node.entries:
                entry = node.entries[step]
                node = entry.node
            case Sequence() if isinstance(step, int) and 0 <= step < len(node.items):
                entry, node = None, node.items[step]
            case _:
                return entry, node, depth
    return entry, node, len(route)


def place_of(text: str, file: str, span: Span) -> Place:
    """Turn a span of `text` into lines and columns."""
    line = text.count("\n", 0, span.start) + 1
    column = span.start - (text.rfind("\n", 0, span.start) + 1) + 1
    end_line = text.count("\n", 0, span.end) + 1
    end_column = span.end - (text.rfind("\n", 0, span.end) + 1) + 1
    return Place(file, line, column, end_line, end_column)


def span_of(root: Node, route: Route, *, at_key: bool) -> Span:
    """Return the span a route points at: a value, a key, or the parent of what is missing."""
    entry, node, followed = descend(root, route)
    missing = followed < len(route)
    if entry is not None and (at_key or missing or not isinstance(node, Scalar)):
        return entry.key_span
    return node.span
