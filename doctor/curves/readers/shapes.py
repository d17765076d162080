"""The shapes of rows: which keys occur together, and what is to be done with such rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ftspec.doctor.curves.readers.keys import Meaning

# Of an evaluation: the set's name, the key of its loss, its metrics by name and key.
Evaluated = tuple[str, str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Shape:
    """What is to be done with rows that have the same keys.

    `kind`: train, eval, both, loose (quantities whose loss comes in another row), summary, other.
    `keys` are what is taken, into which `columns`, times which `factors`.
    """

    kind: str
    keys: tuple[str, ...]
    columns: tuple[str, ...]
    factors: tuple[float, ...]
    loss: str | None
    evals: tuple[Evaluated, ...]
    total: str | None
    nested: bool


def shape_of(
    row: Mapping[str, Any],
    meanings: Mapping[str, Meaning],
    chosen: Callable[[str, int], bool],
) -> Shape:
    """Return the shape of a row; `chosen` says whether a loss is the one that the log is about."""
    summary = any(what.role == "summary" for what in meanings.values())
    loss = _best(meanings, "loss")
    if loss is not None and (
        (summary and meanings[loss].rank) or not chosen(loss, meanings[loss].rank)
    ):
        loss = None
    wanted = {"step": _best(meanings, "step"), "epoch": _best(meanings, "epoch"), "loss": loss}
    for key, what in meanings.items():
        if what.role == "quantity":
            wanted.setdefault(what.name, key)
    used = {column: key for column, key in wanted.items() if key is not None}
    evals = _evals(meanings)
    return Shape(
        kind=_kind(used, evals, summary),
        keys=tuple(used.values()),
        columns=tuple(used),
        factors=tuple(meanings[key].factor for key in used.values()),
        loss=loss,
        evals=evals,
        total=_best(meanings, "total"),
        nested=any(isinstance(value, dict) for value in row.values()),
    )


def _best(meanings: Mapping[str, Meaning], role: str) -> str | None:
    keys = (key for key, what in meanings.items() if what.role == role)
    return min(keys, key=lambda key: meanings[key].rank, default=None)


def _kind(used: Mapping[str, str], evals: tuple[Evaluated, ...], summary: bool) -> str:
    if "loss" in used:
        return "both" if evals else "train"
    if summary:
        return "summary"
    if evals:
        return "eval"
    return "loose" if used.keys() - {"step", "epoch"} else "other"


def _evals(meanings: Mapping[str, Meaning]) -> tuple[tuple[str, str, Any], ...]:
    found: dict[str, str] = {}
    for key, what in meanings.items():
        if what.role == "eval-loss":
            kept = found.setdefault(what.name, key)
            if what.rank < meanings[kept].rank:
                found[what.name] = key
    metrics: dict[str, list[tuple[str, str]]] = {name: [] for name in found}
    for key, what in meanings.items():
        if what.role == "eval-metric":
            owner, metric = _owner(what, found)
            if owner is not None:
                metrics[owner].append((metric, key))
    return tuple((name, key, tuple(metrics[name])) for name, key in found.items())


def _owner(what: Meaning, found: Mapping[str, str]) -> tuple[str | None, str]:
    """Return the set that a metric belongs to, and the metric without the set's name."""
    for name in sorted(found, key=len, reverse=True):
        for mark in ("_", "/"):
            if name and what.metric.startswith(name + mark):
                return name, what.metric[len(name) + 1 :]
    if what.name in found:
        return what.name, what.metric
    return (next(iter(found)), what.metric) if len(found) == 1 else (None, "")


def flattened(row: Mapping[str, Any], above: str = "", depth: int = 0) -> dict[str, Any]:
    """Return a row whose keys are the paths through the objects in it."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        name = f"{above}{key}"
        if isinstance(value, dict):
            if depth < 3:
                flat.update(flattened(value, f"{name}/", depth + 1))
        else:
            flat.setdefault(name, value)
    return flat
