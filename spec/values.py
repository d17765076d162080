"""Types of single values in a spec: what may stand there, and in which words it is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, GetJsonSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema, PydanticCustomError

Value = TypeVar("Value")

_UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_DECIMAL_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([KMGT]i?B)\s*")
_SHARE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*%")


def refuse(expected: str) -> PydanticCustomError:
    """Make the error for a value of the wrong type; `expected` says what may stand there."""
    return PydanticCustomError("wrong_type", "expected {expected}", {"expected": expected})


def out_of_range(expected: str) -> PydanticCustomError:
    """Make the error for a value of the right type outside its range."""
    return PydanticCustomError("out_of_range", "expected {expected}", {"expected": expected})


class _AutoAllowed:
    """Lets the JSON schema of an open key admit the word `auto`."""

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        schema = handler(core)
        return {"anyOf": [schema, {"const": "auto"}]}


def _auto_is_open(value: Any) -> Any:
    return None if value == "auto" else value


# A key that the planner may decide: left out, empty, or the word `auto`.
Open = Annotated[Value | None, BeforeValidator(_auto_is_open), _AutoAllowed()]


class SwitchAllowed:
    """Lets the JSON schema of a section admit `true` in its place."""

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        schema = handler(core)
        return {"anyOf": [{"const": True}, schema]}


class _OneOrNoneAllowed:
    """Lets the JSON schema of a list admit one item alone, and the word `none`."""

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        schema = handler(core)
        return {"anyOf": [schema, schema["items"], {"const": "none"}]}


def _as_tuple(value: Any) -> Any:
    if isinstance(value, str):
        return () if value == "none" else (value,)
    return tuple(value) if isinstance(value, list) else value


# A list of words. One word alone is a list of one; `none` is an empty list.
Words = Annotated[tuple[Value, ...], BeforeValidator(_as_tuple), _OneOrNoneAllowed()]


def parse_size(text: str) -> int | None:
    """Return a size such as `20GiB` or `16 GB` in bytes, or None where the text is no size."""
    match = _SIZE.fullmatch(text)
    if match is None:
        return None
    unit = match[2]
    return round(float(match[1]) * (_UNITS.get(unit) or _DECIMAL_UNITS[unit]))


def _size(value: Any) -> int:
    if isinstance(value, str) and (size := parse_size(value)) is not None and size > 0:
        return size
    raise refuse("a size with its unit, such as `20GiB`")


def parse_share(text: str) -> float | None:
    """Return a share such as `5%` as a number from 0 to 1, or None where the text is none."""
    match = _SHARE.fullmatch(text.strip())
    return float(match[1]) / 100 if match else None


def _eval(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | float):
        raise refuse("a share such as `5%`, a path, or `none`")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise out_of_range("a share above 0 % and under 100 %")
        value = f"{value * 100:g}%"
    share = parse_share(value)
    if share is not None and not 0 < share < 1:
        raise out_of_range("a share above 0 % and under 100 %")
    if not value.strip():
        raise refuse("a share such as `5%`, a path, or `none`")
    return str(value)


def _texts(value: Any) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not items:
        raise refuse("a text or a list of texts")
    if not all(isinstance(item, str) and item.strip() for item in items):
        raise refuse("a text or a list of texts, none of them empty")
    return tuple(items)


def _name(value: Any) -> Any:
    """A card may be written as its number alone, which YAML reads as an integer."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _one_of(words: tuple[Any, ...], *, else_: str) -> Callable[[Any], Any]:
    def validate(value: Any) -> Any:
        for word in words:
            if type(value) is type(word) and value == word:
                return value
        raise refuse(else_)

    return validate


def _warmup(value: Any) -> float | int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refuse("a share under 1 or a number of steps")
    if not math.isfinite(value) or value < 0 or (value >= 1 and value != int(value)):
        raise out_of_range("a share from 0 to 1, or a whole number of steps")
    return int(value) if value >= 1 else float(value)


CardName = Annotated[
    str, BeforeValidator(_name), WithJsonSchema({"type": ["string", "integer"], "minLength": 1})
]
Size = Annotated[
    int,
    BeforeValidator(_size),
    WithJsonSchema({"type": "string", "pattern": "^[0-9.]+ ?[KMGT]i?B$"}),
]
EvalSource = Annotated[str, BeforeValidator(_eval), WithJsonSchema({"type": ["string", "number"]})]
Texts = Annotated[
    tuple[str, ...],
    BeforeValidator(_texts),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
Checkpointing = Annotated[
    bool | str,
    BeforeValidator(_one_of((True, False, "selective"), else_="`true`, `false` or `selective`")),
    WithJsonSchema({"enum": [True, False, "selective"]}),
]
Warmup = Annotated[
    int | float, BeforeValidator(_warmup), WithJsonSchema({"type": "number", "minimum": 0})
]
