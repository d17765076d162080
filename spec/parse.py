"""From the text of a spec to a `Spec`: read, bring to the full form, validate, apply the rules."""

from __future__ import annotations

from dataclasses import dataclass

from ftspec.spec.canonical import canonical
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.model import Spec
from ftspec.spec.reader import Source, read
from ftspec.spec.rules.fields import FIELD_RULES
from ftspec.spec.tree import Table, place_of, span_of
from ftspec.spec.validate import salvage, validate


@dataclass(frozen=True, slots=True)
class Parsed:
    """A spec as written and as meant; `spec` is None where errors leave nothing to go on with."""

    source: Source
    root: Table | None
    spec: Spec | None
    findings: tuple[Finding, ...]
    flat: bool = False

    def placed(self, finding: Finding) -> Finding:
        """Give a finding its place in the text, by its route."""
        if finding.place is not None or self.root is None or not finding.route:
            return finding
        span = span_of(self.root, finding.route, at_key=finding.at_key)
        return finding.placed(place_of(self.source.text, self.source.name, span))


def parse(data: bytes | str, name: str) -> Parsed:
    """Parse a spec. All errors are found at once, and come sorted by their place."""
    source = read(data, name)
    if source.root is None:
        return Parsed(source, None, None, source.findings)
    full = canonical(source.root)
    spec, shape = validate(full.root)
    findings = [*full.findings, *shape, *_contradictions(spec, full.root, shape)]
    parsed = Parsed(source, full.root, spec, (), full.flat)
    original = Parsed(source, source.root, None, ())
    placed = [
        original.placed(item) if item.name == "mixed-forms" else parsed.placed(item)
        for item in findings
    ]
    said = {item.place for item in source.findings}
    fresh = [item for item in placed if item.place not in said]
    every = sorted([*source.findings, *fresh], key=by_place)
    broken = any(item.severity is Severity.ERROR for item in every)
    return Parsed(source, full.root, None if broken else spec, tuple(every), full.flat)


def _contradictions(spec: Spec | None, root: Table, shape: list[Finding]) -> list[Finding]:
    """Apply the rules about fields; where keys are faulty, to the sections without faults."""
    rest = spec or salvage(root, shape)
    if rest is None:
        return []
    faulty = {item.route[0] for item in shape if item.name != "unknown-key"}
    found = [finding for rule in FIELD_RULES for finding in rule.find(rest)]
    return [finding for finding in found if finding.route[0] not in faulty]


def by_place(finding: Finding) -> tuple[int, int, str]:
    """Sort key: findings in the order of the text, those without a place last."""
    place = finding.place
    return (place.line, place.column, finding.code) if place else (1 << 30, 0, finding.code)
