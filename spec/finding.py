"""What ftspec has to say about a spec, a run or a data file: findings and prescriptions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any

Route = tuple[str | int, ...]

NO_EVIDENCE: Mapping[str, Any] = MappingProxyType({})


class Severity(StrEnum):
    """How bad a finding is; the order of the members is from worst to mildest."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    def at_least(self, other: Severity) -> bool:
        """Say whether this severity is as bad as `other`, or worse."""
        order = list(Severity)
        return order.index(self) <= order.index(other)


@dataclass(frozen=True, slots=True)
class Place:
    """A span of a text file. Lines and columns count from 1; the end column is exclusive."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True, slots=True)
class Edit:
    """One changed key of a spec: its dotted path, what stands there now, and what should."""

    path: str
    before: Any
    after: Any

    def as_json(self) -> dict[str, Any]:
        """Return the edit in the form that programs read."""
        return {"path": self.path, "from": self.before, "to": self.after}


@dataclass(frozen=True, slots=True)
class Prescription:
    """A proposed change of the spec: the patch, why, what to expect, what would refute it."""

    patch: tuple[Edit, ...]
    reason: str
    expect: str = ""
    refuted_by: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the prescription in the form that programs read."""
        return {
            "patch": [edit.as_json() for edit in self.patch],
            "reason": self.reason,
            "expect": self.expect,
            "refuted_by": self.refuted_by,
        }


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found, with its evidence and the way out.

    `route` is the path of keys to what is at fault; only `spec.locate` turns it into a
    `place`. `found` is the few words that stand at the caret. `confidence` is from 0 to 1.
    What was found in reading the text, before there were routes, has a `span` instead:
    start and end, in characters.
    """

    code: str
    name: str
    title: str
    severity: Severity
    route: Route = ()
    found: str = ""
    help: str = ""
    evidence: Mapping[str, Any] = field(default_factory=lambda: NO_EVIDENCE)
    confidence: float = 1.0
    prescriptions: tuple[Prescription, ...] = ()
    place: Place | None = None
    at_key: bool = False
    span: tuple[int, int] | None = None

    def placed(self, place: Place | None) -> Finding:
        """Return the finding with a place in a file."""
        return replace(self, place=place)

    def as_json(self) -> dict[str, Any]:
        """Return the finding in the form that programs read (schema version 1)."""
        place = self.place
        return {
            "code": self.code,
            "name": self.name,
            "title": self.title,
            "severity": self.severity.value,
            "file": place.file if place else None,
            "line": place.line if place else None,
            "column": place.column if place else None,
            "end_line": place.end_line if place else None,
            "end_column": place.end_column if place else None,
            "route": list(self.route),
            "help": self.help,
            "evidence": json_value(dict(self.evidence)),
            "confidence": self.confidence,
            "prescriptions": [item.as_json() for item in self.prescriptions],
        }


def json_value(value: Any) -> Any:
    """Return a value with what JSON has no word for, infinity and NaN, written as text."""
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def worst(findings: list[Finding]) -> Severity | None:
    """Return the worst severity among `findings`, or None where there are none."""
    for severity in Severity:
        if any(finding.severity is severity for finding in findings):
            return severity
    return None
