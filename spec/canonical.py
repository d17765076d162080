"""Bring the short forms of a spec to its one full form; every node keeps its place in the text."""

from __future__ import annotations

from dataclasses import dataclass

from ftspec.spec.finding import Finding
from ftspec.spec.rules.shape import mixed_forms, wrong_type
from ftspec.spec.tree import Entry, Node, Scalar, Sequence, Span, Table

# The guide's flat quick reference: key -> route in the full form.
FLAT_ROUTES: dict[str, tuple[str, str]] = {
    "lora_r": ("method", "r"),
    "lora_alpha": ("method", "alpha"),
    "lora_dropout": ("method", "dropout"),
    "target_modules": ("method", "target_modules"),
    "batch_size": ("train", "batch_size"),
    "gradient_accumulation": ("train", "gradient_accumulation"),
    "learning_rate": ("train", "learning_rate"),
    "epochs": ("train", "epochs"),
    "max_seq_length": ("data", "max_length"),
    "use_4bit": ("method", "type"),
}
SECTIONS_OF_THE_FULL_FORM = ("method", "train", "tune")

# A section that may be written as one value: section -> the key that the value stands for.
_SHORT = {"model": "name", "method": "type", "data": "train", "hardware": "gpu"}


@dataclass(frozen=True, slots=True)
class Canonical:
    """The full form of a spec, and which form was written."""

    root: Table
    flat: bool
    findings: tuple[Finding, ...] = ()


def canonical(root: Table) -> Canonical:
    """Return the full form of `root`; keys that cannot be placed stay where they are."""
    flat_keys = [key for key in root.entries if key in FLAT_ROUTES]
    sections = [key for key in SECTIONS_OF_THE_FULL_FORM if key in root.entries]
    if flat_keys and sections:
        findings = tuple(
            finding
            for key in flat_keys
            for finding in mixed_forms.find((key, FLAT_ROUTES[key], sections[0]))
        )
        rest = {key: entry for key, entry in root.entries.items() if key not in FLAT_ROUTES}
        return Canonical(_expanded(Table(rest, root.span)), False, findings)
    if flat_keys:
        return _from_flat(_expanded(root), flat_keys)
    return Canonical(_expanded(root), False)


def _expanded(root: Table) -> Table:
    entries: dict[str, Entry] = {}
    for key, entry in root.entries.items():
        node = entry.node
        inner = _SHORT.get(key)
        if key == "hardware" and isinstance(node, Scalar) and node.value in ("auto", None):
            continue
        if inner and (isinstance(node, Scalar) or (key == "data" and isinstance(node, Sequence))):
            if isinstance(node, Scalar) and node.value is None:
                node = Table({}, node.span)
            else:
                node = Table({inner: Entry(entry.key_span, node)}, node.span)
        elif isinstance(node, Scalar) and node.value is None and key in ("train", "tune", "run"):
            node = Table({}, node.span)
        elif key == "evaluate" and isinstance(node, Table):
            node = _metrics(node)
        entries[key] = Entry(entry.key_span, node)
    return Table(entries, root.span, root.flow)


def _metrics(table: Table) -> Sequence:
    """Turn a map of metrics into the list of those that are not switched off."""
    chosen = [
        Scalar(name, entry.key_span)
        for name, entry in table.entries.items()
        if not (isinstance(entry.node, Scalar) and entry.node.value is False)
    ]
    return Sequence(tuple(chosen), table.span)


def _from_flat(root: Table, flat_keys: list[str]) -> Canonical:
    findings: list[Finding] = []
    sections: dict[str, dict[str, Entry]] = {}
    spans: dict[str, Span] = {}
    for key in flat_keys:
        section, inner = FLAT_ROUTES[key]
        entry = root.entries[key]
        spans.setdefault(section, entry.key_span)
        if key == "use_4bit":
            entry = Entry(entry.key_span, _method_of(entry.node, findings))
        sections.setdefault(section, {})[inner] = entry
    method = sections.setdefault("method", {})
    method.setdefault("type", Entry(root.span, Scalar("lora", Span(0, 0))))
    entries = {key: entry for key, entry in root.entries.items() if key not in FLAT_ROUTES}
    for section, inner_entries in sections.items():
        written = entries.get(section)
        base = dict(written.node.entries) if written and isinstance(written.node, Table) else {}
        clash = sorted(set(base) & set(inner_entries))
        for name in clash:
            findings.extend(mixed_forms.find(("max_seq_length", (section, name), section)))
        span = written.key_span if written else spans.get(section, root.span)
        entries[section] = Entry(span, Table({**inner_entries, **base}, span))
    return Canonical(Table(entries, root.span), True, tuple(findings))


def _method_of(node: Node, findings: list[Finding]) -> Scalar:
    if isinstance(node, Scalar) and isinstance(node.value, bool):
        return Scalar("qlora" if node.value else "lora", node.span)
    findings.extend(wrong_type.find((("method", "type"), node, "`true` or `false`")))
    return Scalar("lora", node.span)
