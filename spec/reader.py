"""Read YAML into a tree with positions: the 1.2 core schema, no tags, no surprises."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import yaml

from ftspec.spec.finding import Finding
from ftspec.spec.rules import reading
from ftspec.spec.tree import Entry, Node, Scalar, Sequence, Span, Table, place_of

MAX_CHARACTERS = 256 * 1024  # a spec is a page; data belongs into data files
MAX_DEPTH = 32
MAX_NODES = 20_000  # after anchors are expanded

# https://yaml.org/spec/1.2.2/#103-core-schema
_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]{1,18}")
_OCT = re.compile(r"0o[0-7]{1,18}")
_HEX = re.compile(r"0x[0-9a-fA-F]{1,15}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INF = re.compile(r"[-+]?\.(inf|Inf|INF)")
_NAN = re.compile(r"\.(nan|NaN|NAN)")


@dataclass(frozen=True, slots=True)
class Source:
    """A spec's text with its name, the tree read from it, and what was found in reading it."""

    name: str
    text: str
    root: Table | None
    findings: tuple[Finding, ...] = ()


def read(data: bytes | str, name: str) -> Source:
    """Read a spec's text. Whatever the input, the answer is a tree or at least one finding."""
    text, findings = _decode(data)
    if text is not None and not findings:
        findings = list(reading.too_large.find((len(text), MAX_CHARACTERS)))
    if text is None or findings:
        return _source(name, text or "", None, findings)
    builder = _Builder(text)
    try:
        root = builder.build(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        return _source(name, text, None, [*builder.findings, *_broken(error, text)])
    except yaml.reader.ReaderError as error:
        findings = list(reading.not_text.find((error.position, error.character)))
        return _source(name, text, None, findings)
    except _Stop:
        return _source(name, text, None, builder.findings)
    findings = builder.findings
    if root is None or (isinstance(root, Scalar) and root.value is None):
        findings = [*findings, *reading.empty_spec.find(text)]
        return _source(name, text, None, findings)
    if not isinstance(root, Table):
        findings = [*findings, *reading.not_a_mapping.find(root)]
        return _source(name, text, None, findings)
    return _source(name, text, root, findings)


def _source(name: str, text: str, root: Table | None, findings: list[Finding]) -> Source:
    placed = tuple(
        item.placed(place_of(text, name, Span(*(item.span or (0, 0))))) for item in findings
    )
    return Source(name, text, root, placed)


def _decode(data: bytes | str) -> tuple[str | None, list[Finding]]:
    if isinstance(data, bytes):
        encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
        try:
            data = data.decode(encoding)
        except UnicodeDecodeError as error:
            return None, list(reading.not_text.find((error.start, data[error.start])))
    return data.removeprefix("\ufeff"), []


def _broken(error: yaml.MarkedYAMLError, text: str) -> Iterator[Finding]:
    mark = error.problem_mark or error.context_mark
    at = min(mark.index if mark else 0, len(text))
    tab = reading.tab_indentation.tab_before(text, at)
    if tab is not None:
        return reading.tab_indentation.find(tab)
    if error.context == "while scanning an alias" and error.context_mark:
        start = error.context_mark.index
        name = re.match(r"\*([^\s,\]}]*)", text[start:])
        word = name[1] if name else ""
        return reading.unknown_anchor.find((word, start, start + 1 + len(word)))
    problem, context, opened = error.problem or "", error.context or "", error.context_mark
    opens = "quoted scalar" in context or "flow" in context
    if opens and opened and mark and opened.line < mark.line:
        # the parser stops lines later; what is at fault is the bracket or the quote
        at, problem = opened.index, "opens here and is not closed"
    return reading.broken_yaml.find((problem, context, at, text))


class _Stop(Exception):
    """Reading cannot go on; the reason is among the findings."""


@dataclass(slots=True)
class _Open:
    """A collection that is being read."""

    start: int
    flow: bool
    anchor: str | None
    table: bool
    items: list[Node] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    key: tuple[str, Span] | None = None


class _Builder:
    """Builds the tree from parser events, without recursion."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.findings: list[Finding] = []
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._nodes = 0
        self._root: Node | None = None
        self._documents = 0

    def build(self, events: Iterator[yaml.Event]) -> Node | None:
        for event in events:
            match event:
                case yaml.DocumentStartEvent():
                    self._documents += 1
                    if self._documents > 1:
                        at = _span(event).start
                        self._stop(reading.several_documents.find((at, at + 3)))
                case yaml.ScalarEvent():
                    self._scalar(event)
                case yaml.AliasEvent():
                    self._alias(event)
                case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                    self._open(event)
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    self._close(event)
        return self._root

    def _stop(self, findings: Iterator[Finding]) -> None:
        self.findings.extend(findings)
        raise _Stop

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        span = _span(event)
        self._refuse_tag(event, span)
        half = next((ch for ch in event.value if "\ud800" <= ch <= "\udfff"), None)
        if half is not None:
            self._stop(reading.not_text.find((span.start, half)))
        value = resolve(event.value) if event.implicit[0] else event.value
        self._add(Scalar(value, span), event.anchor, 1)

    def _alias(self, event: yaml.AliasEvent) -> None:
        span, name = _span(event), event.anchor or ""
        if name not in self._anchors:
            self._stop(reading.unknown_anchor.find((name, span.start, span.end)))
        node, size = self._anchors[name]
        # The alias stands where it is written; what is inside it stands at the anchor.
        here = (
            replace(node, span=span)
            if isinstance(node, Scalar)
            else replace(node, span=span, flow=True)
        )
        self._add(here, None, size)

    def _open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        start = _span(event).start
        self._refuse_tag(event, Span(start, start + 1))
        if len(self._stack) >= MAX_DEPTH:
            self._stop(reading.too_deep.find((start, MAX_DEPTH)))
        table = isinstance(event, yaml.MappingStartEvent)
        self._stack.append(_Open(start, bool(event.flow_style), event.anchor, table))

    def _close(self, event: yaml.Event) -> None:
        top = self._stack.pop()
        span = Span(top.start, _span(event).end)
        node: Node = (
            Table(top.entries, span, top.flow)
            if top.table
            else Sequence(tuple(top.items), span, top.flow)
        )
        self._add(node, top.anchor, 1)

    def _refuse_tag(self, event: yaml.NodeEvent, span: Span) -> None:
        tag = (getattr(event, "tag", None) or "").replace("tag:yaml.org,2002:", "!!", 1)
        if tag and tag != "!":
            self.findings.extend(reading.yaml_tag.find((tag, span.start, span.end)))

    def _add(self, node: Node, anchor: str | None, size: int) -> None:
        span = node.span
        self._nodes += size
        if self._nodes > MAX_NODES:
            self._stop(reading.too_many_nodes.find((span.start, span.end, MAX_NODES)))
        if anchor is not None:
            self._anchors[anchor] = (node, _size(node))
        if not self._stack:
            self._root = node
            return
        top = self._stack[-1]
        if not top.table:
            top.items.append(node)
        elif top.key is None:
            top.key = (self._key_text(node, span), span)
        else:
            key, key_span = top.key
            top.key = None
            if key in top.entries:
                first = top.entries[key].key_span
                self.findings.extend(reading.duplicate_key.find((key, key_span, first, self.text)))
            else:
                top.entries[key] = Entry(key_span, node)

    def _key_text(self, node: Node, span: Span) -> str:
        written = self.text[span.start : span.end]
        if isinstance(node, Scalar) and isinstance(node.value, str):
            return node.value
        self.findings.extend(reading.key_not_text.find((written, span.start, span.end)))
        return written


def _span(event: yaml.Event) -> Span:
    start, end = event.start_mark, event.end_mark
    return Span(start.index if start else 0, end.index if end else 0)


def _size(node: Node) -> int:
    """Return how many nodes an alias to `node` stands for; a shared part counts each time."""
    total, todo = 0, [node]
    while todo and total <= MAX_NODES:
        node = todo.pop()
        total += 1
        if isinstance(node, Sequence):
            todo.extend(node.items)
        elif isinstance(node, Table):
            todo.extend(entry.node for entry in node.entries.values())
    return total


def resolve(text: str) -> str | int | float | bool | None:
    """Give a plain scalar its value by the YAML 1.2 core schema: `2e-4` is a number, `no` a word.

    Source: YAML 1.2.2, 10.3.2 (core schema tag resolution).
    """
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text):
        return True
    if _FALSE.fullmatch(text):
        return False
    if _INT.fullmatch(text):
        return int(text)
    if _OCT.fullmatch(text) or _HEX.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INF.fullmatch(text):
        return float(text.replace(".", ""))
    if _NAN.fullmatch(text):
        return float("nan")
    return text
