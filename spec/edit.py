"""Edit a spec in place: a changed key changes its own span of the text and nothing else."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence as Items
from typing import Any

from ftspec.spec.canonical import FLAT_ROUTES, SECTIONS_OF_THE_FULL_FORM, canonical
from ftspec.spec.finding import Edit
from ftspec.spec.reader import read, resolve
from ftspec.spec.tree import Node, Scalar, Sequence, Table, descend, plain

_SHORT = {"model": "name", "method": "type", "data": "train", "hardware": "gpu"}
_PLAIN_WORD = re.compile(
    r"[A-Za-z_./~][A-Za-z0-9_./+~-]*( [A-Za-z0-9_./+~-]+)*|[0-9.]+ ?%|[0-9]+[KMGT]iB"
)


class CannotEditError(Exception):
    """The text cannot take the edit: it does not parse, or its form has no such key."""


def apply(text: str, edits: Items[Edit]) -> str:
    """Return `text` with each edit made; all other lines stay byte for byte.

    Raises CannotEditError where the text is not a spec, or where the flat form has no key
    for what is to be set.
    """
    for edit in edits:
        text = set_key(text, tuple(edit.path.split(".")), edit.after)
    return text


def diff(before: str, after: str, name: str) -> str:
    """Return the unified diff of two texts of a spec."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), name, name, n=1
    )
    return "".join(line if line.endswith("\n") else line + "\n" for line in lines)


def set_key(text: str, route: tuple[str, ...], value: Any) -> str:
    """Set one key of a spec to `value`."""
    source = read(text, "spec")
    if source.root is None:
        raise CannotEditError("the spec cannot be read")
    raw = _raw_route(source.root, route, value)
    if raw is None:
        raise CannotEditError(f"the flat form has no key for `{'.'.join(route)}`")
    edited = _set(source.text, source.root, *raw)
    check = read(edited, "spec")
    asked = _with(_values(source.root), route, value)
    if check.root is None or check.findings or _values(check.root) != asked:
        raise CannotEditError(f"`{'.'.join(route)}` cannot be set in this layout")
    return text[: len(text) - len(source.text)] + edited  # a byte-order mark stays


def _values(root: Table) -> dict[str, Any]:
    """Return the full form as plain data; an empty section says nothing."""
    full = plain(canonical(root).root)
    return {key: value for key, value in full.items() if value not in (None, {})}


def _with(values: dict[str, Any], route: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Return `values` with one key set, as reading its literal gives it."""
    head, rest = route[0], route[1:]
    if rest:
        inner = values.get(head)
        return {**values, head: _with(inner if isinstance(inner, dict) else {}, rest, value)}
    written = read(f"key: {literal(value)}", "value").root
    return {**values, head: plain(written)["key"] if written else None}


def _raw_route(
    root: Table, route: tuple[str, ...], value: Any
) -> tuple[tuple[str, ...], Any] | None:
    flat = any(key in FLAT_ROUTES for key in root.entries)
    if not flat or any(key in root.entries for key in SECTIONS_OF_THE_FULL_FORM):
        return route, value
    if route == ("method", "type") and value in ("lora", "qlora"):
        return ("use_4bit",), value == "qlora"
    for key, full in FLAT_ROUTES.items():
        if full == route and key != "use_4bit" and not _stands(root, route):
            return (key,), value
    return None if route[0] in SECTIONS_OF_THE_FULL_FORM else (route, value)


def _stands(root: Table, route: tuple[str, ...]) -> bool:
    return descend(root, route)[2] == len(route)


def _set(text: str, root: Table, route: tuple[str, ...], value: Any) -> str:
    key = route[0]
    written, eol = literal(value), _eol(text)
    if root.flow and (key not in root.entries or plain(root.entries[key].node) is None):
        return _set_in_table(text, root, route, value)
    if len(route) == 1:
        if key in root.entries:
            return _replace(text, root.entries[key].node, written)
        return _append(text, f"{key}: {written}{eol}")
    if key not in root.entries:
        return _append(text, f"{key}:{eol}  {_nested(route[1:], written)}{eol}")
    entry = root.entries[key]
    node = entry.node
    if isinstance(node, Table):
        if node.entries:
            return _set_in_table(text, node, route[1:], value)
        return _replace(text, node, "{" + _nested(route[1:], written) + "}")
    if isinstance(node, Scalar) and node.value is None:
        at = _line_end(text, entry.key_span.end)
        return f"{text[:at]}{eol}  {_nested(route[1:], written)}{text[at:]}"
    if isinstance(node, Scalar) and node.value == "auto":
        return _replace(text, node, f"{{{_nested(route[1:], written)}}}")
    inner = _SHORT.get(key)
    if inner is None:
        raise CannotEditError(f"`{key}` is not a section here")
    if route[1:] == (inner,):
        return _replace(text, node, written)
    short = text[node.span.start : node.span.end]
    if isinstance(node, Sequence) and not node.flow:
        short = literal(plain(node))
    return _replace(text, node, f"{{{inner}: {short}, {_nested(route[1:], written)}}}")


def _set_in_table(text: str, table: Table, route: tuple[str, ...], value: Any) -> str:
    key, written = route[0], literal(value)
    if key in table.entries:
        node = table.entries[key].node
        if len(route) > 1 and isinstance(node, Table) and node.entries:
            return _set_in_table(text, node, route[1:], value)
        return _replace(
            text, node, written if len(route) == 1 else f"{{{_nested(route[1:], written)}}}"
        )
    addition = _nested(route, written)
    if not table.entries:
        at = table.span.start + 1
        return f"{text[:at]}{addition}{text[at:]}"
    last = list(table.entries.values())[-1]
    if table.flow:
        at = max(_end(last.node), last.key_span.end)
        return f"{text[:at]}, {addition}{text[at:]}"
    first = next(iter(table.entries.values()))
    column = first.key_span.start - (text.rfind("\n", 0, first.key_span.start) + 1)
    end = max(_end(last.node), last.key_span.end)
    at = _line_end(text, len(text[:end].rstrip()))  # a block of text ends on the next line
    return f"{text[:at]}{_eol(text)}{' ' * column}{addition}{text[at:]}"


def _replace(text: str, node: Node, written: str) -> str:
    start, end = node.span.start, _end(node)
    end = start + len(text[start:end].rstrip())  # a block of text ends on the next line
    if isinstance(node, Scalar) and start == end and start and text[start - 1] == ":":
        written = f" {written}"  # an empty value stands right after its colon
    return text[:start] + written + text[end:]


def _end(node: Node) -> int:
    """Return where a node's text ends; a block's own span runs on over blanks and comments."""
    if isinstance(node, Table) and not node.flow and node.entries:
        last = list(node.entries.values())[-1]
        return max(_end(last.node), last.key_span.end)
    if isinstance(node, Sequence) and not node.flow and node.items:
        return _end(node.items[-1])
    return node.span.end


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    if end < 0:
        return len(text)
    return end - 1 if text[end - 1] == "\r" else end


def _append(text: str, addition: str) -> str:
    return text + ("" if not text or text.endswith("\n") else _eol(text)) + addition


def _eol(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _nested(route: tuple[str, ...], written: str) -> str:
    text = f"{route[-1]}: {written}"
    for key in reversed(route[:-1]):
        text = f"{key}: {{{text}}}"
    return text


def literal(value: Any) -> str:
    """Write a value as YAML on one line, in the way a person would."""
    if value is None:
        return "auto"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(k)}: {literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    text = str(value)
    if _PLAIN_WORD.fullmatch(text) and resolve(text) == text:
        return text
    return "".join(map(_escaped, json.dumps(text, ensure_ascii=False)))


def _escaped(ch: str) -> str:
    if ch.isprintable():
        return ch
    return f"\\u{ord(ch):04x}" if ord(ch) <= 0xFFFF else f"\\U{ord(ch):08x}"


def number(value: float) -> str:
    """Write a number the short way: `2e-4`, `0.05`, `3`."""
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    plain_text = repr(float(f"{value:.6g}"))
    if 0 < abs(value) < 1e-3:
        mantissa, _, exponent = f"{value:.5e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return plain_text
