"""A JSON object as a model's files hold it: read with every fault named, and where keys stand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from ftspec.compiler.facts.config_keys import Fault, refuse_json, short
from ftspec.spec.finding import Place
from ftspec.spec.tree import Span, place_of

_SPACE = " \t\r\n"
_DECODER = json.JSONDecoder()
# What the decoder misses, in fewer words than its own.
_MISSED = {
    "Expecting value": "a value is missing, or is none",
    "Expecting property name enclosed in double quotes": "a key in double quotes is missing",
    "Illegal trailing comma before end of object": "a key in double quotes is missing",
    "Expecting ':' delimiter": "a colon is missing",
    "Expecting ',' delimiter": "a comma is missing",
    "Extra data": "more follows after its end",
}


class Member(NamedTuple):
    """A key of an object with its value, and the spans of both."""

    key: str
    value: Any
    key_span: Span
    span: Span


def parsed(text: str | bytes, shown: str, doubled: list[Fault] | None = None) -> dict[str, Any]:
    """Return the object in a JSON text; `shown` is what messages call the file.

    `doubled` takes a fault for each key that stands twice, with values that differ, in the object
    or in its `text_config`. Raises ModelUnreadableError, with a place where there is one, for
    what is not JSON or is no object.
    """
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError as error:
            refuse_json(f"it is not UTF-8, at byte {error.start:,}", shown)
    twice = False

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal twice
        made = dict(found)
        twice = twice or len(made) < len(found)
        return made

    try:
        content = json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        words, at = _missed(text, error)
        refuse_json(words, shown, place_of(text, shown, Span(at, at + 1)))
    except RecursionError:
        refuse_json("it is nested too deeply", shown)
    except ValueError:  # Python's limit (sys.set_int_max_str_digits)
        refuse_json("it holds a number of more than 4,300 digits", shown)
    if not isinstance(content, dict):
        kind = {list: "a list", str: "a text", bool: "true or false"}.get(type(content), "a number")
        words = f"it holds {'null' if content is None else kind}, and is not a JSON object"
        refuse_json(words, shown, place_of(text, shown, Span(0, 1)))
    if twice and doubled is not None:
        doubled += _doubled(text, shown)
    return content


def place_in(text: str, shown: str, fault: Fault) -> Place | None:
    """Return where a fault stands: a value, or of a missing key the object that lacks it."""
    if fault.place is not None or not fault.route:
        return fault.place
    try:
        return _place(text, shown, fault)
    except RecursionError:  # as deep as the text that was read just so
        return None


def _place(text: str, shown: str, fault: Fault) -> Place:
    at = _start(text)
    here = table = Span(at, at + 1)
    for key in fault.route:
        found = [member for member in _members(text, table.start) if member.key == key]
        if not found:
            break
        here = found[-1].key_span if key != fault.route[-1] else found[-1].span
        table = found[-1].span  # the last one counts
    return place_of(text, shown, here)


def _missed(text: str, error: json.JSONDecodeError) -> tuple[str, int]:
    """Return what is wrong with a text that is not JSON, and where."""
    if not text.strip():
        return "it is empty", 0
    if text.startswith("\ufeff"):
        return "it begins with a byte order mark, which transformers does not read", 0
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
        return "it is not JSON: it ends before its last bracket", min(error.pos, len(text) - 1)
    return f"it is not JSON: {_MISSED.get(error.msg, error.msg.lower())}", error.pos


def _doubled(text: str, shown: str) -> Iterator[Fault]:
    tables: list[tuple[tuple[str, ...], int]] = [((), _start(text))]
    for route, at in tables:  # grows by `text_config`
        seen: dict[str, Any] = {}
        for member in _members(text, at):
            if not route and member.key == "text_config":
                tables.append(((member.key,), member.span.start))
            first = seen.setdefault(member.key, member.value)
            if json.dumps(first) != json.dumps(member.value):
                both = f"{short(first)} and {short(member.value)}"
                yield Fault(
                    f"`{member.key[:60]}` is there twice, as {both}",
                    (*route, member.key),
                    "one of them",
                    place=place_of(text, shown, member.key_span),
                )


def _start(text: str) -> int:
    return _after_space(text, 0)


def _members(text: str, at: int) -> Iterator[Member]:
    """Yield the members of the object that begins at `at`; none where none does."""
    if text[at : at + 1] != "{":
        return
    at = _after_space(text, at + 1)
    while text[at : at + 1] == '"':
        key, end = _DECODER.raw_decode(text, at)
        start = _after_space(text, _after_space(text, end) + 1)  # over the colon
        value, stop = _DECODER.raw_decode(text, start)
        yield Member(key, value, Span(at, end), Span(start, stop))
        at = _after_space(text, stop)
        if text[at : at + 1] == ",":
            at = _after_space(text, at + 1)


def _after_space(text: str, at: int) -> int:
    while text[at : at + 1] in _SPACE and at < len(text):
        at += 1
    return at
