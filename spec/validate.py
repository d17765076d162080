"""Turn a tree into a `Spec`, or into findings that say all that is wrong with its keys."""

from __future__ import annotations

import itertools
import re
import types
import typing
from collections.abc import Iterator, Mapping
from functools import cache

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ftspec.spec import model
from ftspec.spec.finding import Finding, Route
from ftspec.spec.rules.shape import missing_key, out_of_range, unknown_key, wrong_type
from ftspec.spec.tree import Table, descend, plain

UNION = model.EarlyStopping.__name__

_BOUNDS = {
    "greater_than": ("above {gt:g}", "gt"),
    "greater_than_equal": ("at least {ge:,.12g}", "ge"),
    "less_than": ("under {lt:g}", "lt"),
    "less_than_equal": ("at most {le:,.12g}", "le"),
    "string_too_short": ("a text that is not empty", "min_length"),
    "finite_number": ("a finite number", ""),
}
_TYPES = {
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "`true` or `false`",
    "string_type": "a text",
    "dict_type": "a map",
    "tuple_type": "a list",
    "model_type": "a section of keys",
}


def validate(root: Table) -> tuple[model.Spec | None, list[Finding]]:
    """Validate the full form of a spec; returns the spec, or None and every error there is."""
    try:
        return model.Spec.model_validate(plain(root)), []
    except ValidationError as error:
        found = [
            finding
            for details in error.errors(include_url=False)
            for finding in _finding(root, details)
        ]
        return None, found


def salvage(root: Table, findings: list[Finding]) -> model.Spec | None:
    """Return what a spec says without the keys that `findings` are about, or None.

    Its contradictions can then be told together with its faulty keys.
    """
    data = plain(root)
    for finding in findings:
        _drop(data, finding.route)
    data.setdefault("model", {"name": "model"})
    try:
        return model.Spec.model_validate(data)
    except ValidationError:
        return None


def _drop(data: typing.Any, route: Route) -> None:
    keys = list(itertools.takewhile(lambda step: isinstance(step, str), route))
    for key in keys[:-1]:
        data = data.get(key) if isinstance(data, dict) else None
    if isinstance(data, dict) and keys:
        data.pop(keys[-1], None)


def _finding(root: Table, details: ErrorDetails) -> Iterator[Finding]:
    kind, context = details["type"], details.get("ctx", {})
    if str(details["loc"][-1]).startswith("literal["):
        return  # one arm of a union; the other arm's error says more
    route = _route(details["loc"])
    if kind == "extra_forbidden":
        yield from unknown_key.find((route, keys_by_section()))
    elif kind == "missing":
        yield from missing_key.find(route)
    elif kind in _BOUNDS:
        yield from out_of_range.find((route, details["input"], _BOUNDS[kind][0].format(**context)))
    elif kind == "out_of_range":
        yield from out_of_range.find((route, details["input"], context["expected"]))
    else:
        _, node, _ = descend(root, route)
        yield from wrong_type.find((route, node, _expected(kind, context, details["msg"])))


def _expected(kind: str, context: Mapping[str, typing.Any], message: str) -> str:
    if kind == "wrong_type":
        return str(context["expected"])
    if kind == "literal_error":
        return re.sub(r"'([^']*)'", r"`\1`", str(context["expected"]))
    return _TYPES.get(kind, message)


def _route(loc: tuple[int | str, ...]) -> Route:
    """Drop the class's name that pydantic puts into the location of a union's error.

    `early_stopping` is the one union with a class; a user's own key may look like a class too.
    """
    pairs = zip((None, *loc), loc, strict=False)
    return tuple(step for before, step in pairs if before != "early_stopping" or step != UNION)


@cache
def keys_by_section() -> Mapping[str, tuple[str, ...]]:
    """Return all keys: dotted section (empty at the top) -> its keys."""
    found: dict[str, tuple[str, ...]] = {}
    _collect("", model.Spec, found)
    return types.MappingProxyType(found)


def _collect(path: str, section: type[BaseModel], found: dict[str, tuple[str, ...]]) -> None:
    found[path] = tuple(section.model_fields)
    for name, info in section.model_fields.items():
        for inner in _sections(info.annotation):
            _collect(f"{path}.{name}" if path else name, inner, found)


def _sections(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _sections(argument)
