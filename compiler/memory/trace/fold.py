"""Fold a trace into a tape: blocks that are alike are written once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ftspec.compiler.memory.tape import Asked, Base, Op, Segment, Tape, Trained, role

if TYPE_CHECKING:  # it imports torch
    from ftspec.compiler.memory.trace.run import Events, Trace

LAYERS = 7  # two at each end, and three in the middle to compare
_BLOCK = re.compile(r"\.(\d+)\.")


class NotFoldedError(Exception):
    """Blocks that should be alike are not; the message says which and how."""


@dataclass
class _Part:
    """One segment as it was traced: its events, and the layer it belongs to."""

    phase: str
    layer: int | None
    events: Events = field(default_factory=list)


def fold(trace: Trace) -> Tape:
    """Return the tape of a trace over `LAYERS` layers, with sizes in bytes (no symbols yet).

    A size is ("bytes", n), or ("call", number, place) for what operation `trace.calls[number]`
    allocates inside. Raises NotFoldedError.
    """
    sizes: dict[Any, int] = {}
    tags: dict[str, int] = {}
    passes: dict[str, dict[str, Segment]] = {}
    gradients: dict[str, tuple[int, ...]] = {}
    for name, begin, end in _spans(trace.events):
        parts = _parted_by_block(_parts(trace.events[begin:end]), trace.layers)
        encoded, kept = _encode(parts, trace, sizes, tags)
        passes[name] = _alike(encoded, name)
        for segment, indices in _alike(kept, name).items():
            if indices:
                gradients[f"{name}.{segment}"] = tuple(indices)
    base = _base(trace.events, sizes)
    trained = _trained(trace, sizes)
    asked = tuple(_asked(trace))
    return Tape(tuple(sizes), tuple(tags), base, trained, passes, gradients, asked)


def _asked(trace: Trace) -> Iterator[Asked]:
    """Yield cuBLAS's workspaces and where the first step, or the evaluation, asks for them."""
    for name, begin, end in _spans(trace.events, 0):
        for part in _parted_by_block(_parts(trace.events[begin:end]), trace.layers):
            segment = _segment(part.phase, part.layer, trace.layers)
            made = 0
            for _, size, tag in part.events:
                if tag.startswith("workspace::"):
                    yield Asked(tag.removeprefix("workspace::"), name, segment, made)
                elif size >= 0:
                    made += 1


def _spans(events: Events, step: int = -1) -> Iterator[tuple[str, int, int]]:
    """Yield (pass, begin, end): a step's micro-steps, -1 the last one's, and the evaluation."""
    last = max(int(tag.split()[1]) for key, _, tag in events if key == -1 and "micro" in tag)
    last = last if step < 0 else step
    marks = [(place, tag) for place, (key, _, tag) in enumerate(events) if key == -1]
    marks = [(place, tag) for place, tag in marks if not _inside_a_pass(tag)]
    names = {f"step {last} micro 0": "first", f"step {last} micro 1": "more"}
    names["evaluate"] = "evaluate"
    for (begin, tag), (end, _) in zip(marks, [*marks[1:], (len(events), "")], strict=True):
        if tag in names:
            yield names[tag], begin + 1, end


def _inside_a_pass(mark: str) -> bool:
    return mark[:2] in ("F ", "B ") or mark in ("head", "turn")


def _parts(events: Events) -> list[_Part]:
    parts = [_Part("before", None)]
    for event in events:
        if event[0] != -1:
            parts[-1].events.append(event)
            continue
        word, _, number = event[2].partition(" ")
        if word in ("F", "B"):
            if parts[-1].phase == word and parts[-1].layer == int(number):
                continue  # the same place, marked twice
            parts.append(_Part(word, int(number)))
        elif word in ("head", "turn"):
            parts.append(_Part(word, None))
    return parts


def _parted_by_block(parts: list[_Part], layers: int) -> list[_Part]:
    """Give blocks what is made for them beforehand, such as a prefix's keys (phase `P`)."""
    before = parts[0]
    sizes = {key: size for key, size, _ in before.events if size >= 0}
    owner = {
        key: part.layer
        for part in parts
        for key, size, _ in part.events
        if size < 0 and key in sizes and part.layer is not None
    }
    if set(owner.values()) != set(range(layers)):
        return parts
    mine = {layer: _Part("P", layer) for layer in range(layers)}
    rest = _Part("before", None)
    for event in before.events:
        layer = owner.get(event[0])
        (rest if layer is None else mine[layer]).events.append(event)
    return [rest, *mine.values(), *parts[1:]]


_Encoded = dict[tuple[str, int | None], list[Any]]


def _encode(
    parts: Sequence[_Part], trace: Trace, sizes: dict[Any, int], tags: dict[str, int]
) -> tuple[_Encoded, _Encoded]:
    """Return each part's operations, and the indices of the gradients that it makes."""
    made: dict[int, tuple[str, int | None, int]] = {}
    encoded: _Encoded = {}
    kept: _Encoded = {}
    for part in parts:
        if (part.phase, part.layer) in encoded:
            raise NotFoldedError(f"a pass goes through {part.phase} {part.layer} twice")
        ops: list[Op] = []
        mine: list[int] = []
        count = 0
        for key, size, tag in part.events:
            if tag.startswith("workspace::"):
                continue  # kept for good: see `_asked`
            if size >= 0:
                made[key] = (part.phase, part.layer, count)
                if key in trace.gradients:
                    mine.append(count)
                count += 1
                ops.append((_index(sizes, _size(size, tag)), _index(tags, _tag(tag))))
            elif key in made:
                op = _release(made[key], part.layer, trace.layers)
                if op[1] != "middle" or op not in ops:  # once for all blocks in the middle
                    ops.append(op)
        if (part.phase, part.layer) in encoded:
            raise NotFoldedError(f"{part.phase} of layer {part.layer} comes twice in a pass")
        encoded[part.phase, part.layer] = _ordered(ops)
        kept[part.phase, part.layer] = mine
    return encoded, kept


def _ordered(ops: list[Op]) -> list[Op]:
    """Put releases that follow each other into one order: theirs is not the same in each block."""
    found: list[Op] = []
    for releases, run in groupby(ops, key=lambda op: len(op) == 3):
        alike = list(run)
        found += sorted(alike, key=str) if releases else alike
    return found


def _release(at: tuple[str, int | None, int], layer: int | None, layers: int) -> Op:
    phase, source, index = at
    if source is None:
        return phase, "", index
    if layer is None or abs(source - layer) > 1:
        return phase, role(source, layers), index
    return phase, source - layer, index


def _index(table: dict[Any, int], item: Any) -> int:
    return table.setdefault(item, len(table))


def _size(size: int, tag: str) -> tuple[Any, ...]:
    _, found, place = tag.partition(":inside#")
    if not found:
        return ("bytes", size)
    number, _, index = place.partition(".")
    return ("call", int(number), int(index))


def _tag(tag: str) -> str:
    """Drop the layer and the number of a call: `forward:3:aten::mm` -> `forward:aten::mm`."""
    phase, _, rest = tag.partition(":")
    return f"{phase}:{rest.partition(':')[2].partition(':inside#')[0]}"


def _alike(encoded: Mapping[tuple[str, int | None], list[Any]], name: str) -> dict[str, Any]:
    """Write blocks by their roles; the middle ones must be the same."""
    found: dict[str, Any] = {}
    for (phase, layer), ops in encoded.items():
        segment = _segment(phase, layer, LAYERS)
        if segment in found and found[segment] != tuple(ops):
            raise NotFoldedError(f"{name}: {segment} of layer {layer} differs from the one before")
        found[segment] = tuple(ops)
    return found


def _segment(phase: str, layer: int | None, layers: int) -> str:
    return phase if layer is None else f"{phase}.{role(layer, layers)}"


def _base(events: Events, sizes: dict[Any, int]) -> tuple[Base, ...]:
    """What the model holds, from the log of its loading; block 1's stand for every block's."""
    found = []
    for key, size, tag in events:
        if key == -1 or not tag.startswith("base::"):
            continue
        name = tag.removeprefix("base::")
        number = _block(name)
        if number in (None, 1):
            found.append(Base(name, _index(sizes, ("bytes", size)), number is not None))
    return tuple(found)


def _trained(trace: Trace, sizes: dict[Any, int]) -> tuple[Trained, ...]:
    found = []
    for name, shape, each, embedding in trace.trained:
        number = _block(name)
        if number in (None, 1):
            places = tuple(_index(sizes, ("bytes", size)) for size in shape)
            found.append(Trained(name, places, each, embedding, number is not None))
    return tuple(found)


def _block(name: str) -> int | None:
    found = _BLOCK.search(name)
    return int(found[1]) if found else None
