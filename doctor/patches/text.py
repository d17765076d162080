"""Edit top-level keys of a YAML or JSON file in place: all other characters stay as they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import yaml

from ftspec.spec.edit import CannotEditError, number

MOST_ALIASES = 20  # in YAML: a text of a page can stand for terabytes
_BLANK = " \t\r\n"


class _Place(NamedTuple):
    """Where a value stands, in characters; `plain` is false where it is no scalar on one line."""

    start: int
    end: int
    plain: bool


def values_of(text: str, as_json: bool) -> dict[str, Any]:
    """Return the top-level keys. Raises CannotEditError where the text is no map with names."""
    try:
        if not as_json and "*" in text:
            aliases = sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text))
            if aliases > MOST_ALIASES:
                raise CannotEditError(f"it has {aliases} aliases")
        found = json.loads(text.lstrip("\ufeff")) if as_json else yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CannotEditError(f"it cannot be read: {_first_line(error)}") from None
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise CannotEditError("it is not a map of names")
    return found


def set_keys(text: str, values: Mapping[str, Any], as_json: bool) -> str:
    """Return `text` with top-level keys set; a key that is missing is added at the end.

    Raises CannotEditError where a key stands twice, holds more than one plain value, or where the
    edited text would not read as what was asked for.
    """
    asked = {**values_of(text, as_json), **values}
    for key, value in values.items():
        text = (_set_json if as_json else _set_yaml)(text, key, value)
    try:
        same = values_of(text, as_json) == asked
    except (CannotEditError, RecursionError):  # an anchor that is gone; an alias to what it is in
        same = False
    if not same:
        raise CannotEditError(f"{_names(values)} cannot be set in this layout")
    return text


def scalar(value: Any, as_json: bool = False) -> str:
    """Write a value so that JSON, YAML 1.1 and YAML 1.2 all read the same: `2.0e-5`, not `2e-5`.

    PyYAML, which most trainers read their files with, takes `2e-5` for a word: YAML 1.1 wants a
    dot in a number with an exponent.
    """
    if isinstance(value, float) and not isinstance(value, bool):
        mantissa, exponent, power = number(value).partition("e")
        dotted = mantissa if "." in mantissa else f"{mantissa}.0"
        return f"{dotted}e{power}" if exponent else dotted
    if value is None or isinstance(value, bool | int) or as_json:
        return json.dumps(value)
    text = str(value)
    plain = text.replace("_", "").replace("-", "").isalnum() and yaml.safe_load(text) == text
    return text if plain else json.dumps(text)


def _set_yaml(text: str, key: str, value: Any) -> str:
    mark = len(text) - len(text.lstrip("\ufeff"))
    body = text[mark:]
    root = yaml.compose(body, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode) or root.flow_style:
        raise CannotEditError("its top level is not a block of keys")
    places = [node for name, node in root.value if name.value == key]
    eol = "\r\n" if "\r\n" in body else "\n"
    written = scalar(value)
    if not places:
        gap = "" if not body or body.endswith("\n") else eol
        return f"{text}{gap}{key}: {written}{eol}"
    node = places[0]
    place = _Place(
        node.start_mark.index,
        node.end_mark.index,
        isinstance(node, yaml.ScalarNode) and node.style not in ("|", ">"),
    )
    _refuse(key, len(places), place)
    gap = " " if body[place.start - 1] == ":" else ""  # an empty value stands right after its colon
    return text[:mark] + body[: place.start] + gap + written + body[place.end :]


def _set_json(text: str, key: str, value: Any) -> str:
    places = _json_places(text)
    written = scalar(value, as_json=True)
    if key in places:
        found = places[key]
        _refuse(key, len(found), found[0])
        return text[: found[0].start] + written + text[found[0].end :]
    start = text.index("{") + 1
    first = _skip(text, start)
    if not places:
        return f"{text[:start]}{json.dumps(key)}: {written}{text[start:]}"
    last = max(place.end for each in places.values() for place in each)
    gap = text[start:first] or " "
    return f"{text[:last]},{gap}{json.dumps(key)}: {written}{text[last:]}"


def _json_places(text: str) -> dict[str, list[_Place]]:
    """Return where the values of the top-level object stand; the text is known to be JSON."""
    decoder = json.JSONDecoder()
    places: dict[str, list[_Place]] = {}
    at = _skip(text, text.index("{") + 1)
    while text[at] != "}":
        key, at = decoder.raw_decode(text, at)
        start = _skip(text, text.index(":", at) + 1)
        value, end = decoder.raw_decode(text, start)
        places.setdefault(key, []).append(_Place(start, end, not isinstance(value, dict | list)))
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return places


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANK:
        at += 1
    return at


def _refuse(key: str, times: int, place: _Place) -> None:
    if times > 1:
        raise CannotEditError(f"`{key}` stands there {times} times")
    if not place.plain:
        raise CannotEditError(f"`{key}` holds more than one plain value")


def _names(values: Mapping[str, Any]) -> str:
    return ", ".join(f"`{key}`" for key in values)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
