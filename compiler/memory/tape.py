"""Tapes: the allocations of a training step, recorded once and played back at any size.

A tape is recorded from the real libraries (`ftspec.compiler.memory.trace`) for one *regime*: an
architecture, a method and the switches that change which operations run. Its sizes are products of
symbols (batch, length, widths, rank); its blocks are written once and repeated as often as a model
has layers. Played back, it gives the events that the allocator sees.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ftspec.compiler.memory.accounts import account
from ftspec.compiler.memory.replay import PHASE

# The blocks at the ends have segments of their own; those in the middle are alike.
ROLES = ("first", "second", "middle", "next-to-last", "last")
LEAST_LAYERS = 4
INPUT = "input"  # the phase under which a pass's own inputs are released

# An operation of a segment. An allocation: (size, tag), indices of the tape's tables. A release:
# (phase, where, index): phase `P`, `F` or `B` of a block, or a segment's name; where: the distance
# in layers, a role where the block is not a neighbour (`middle`: all of them), "" where there is no
# block; index: which allocation of that segment.
Op = tuple[int, int] | tuple[str, int | str, int]
Segment = tuple[Op, ...]
Event = tuple[int, Any]  # (key, bytes), (key, -1) or (PHASE, name): see `replay`


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained parameter; shape: indices of its sizes; each_block: every block has one."""

    name: str
    shape: tuple[int, ...]
    bytes_each: int
    embedding: bool
    each_block: bool


@dataclass(frozen=True, slots=True)
class Base:
    """Something that the model holds: index of its size, what it is, one in each block?"""

    name: str
    size: int
    each_block: bool


@dataclass(frozen=True)
class Tape:
    """A recorded regime.

    sizes: expressions (see `symbols`), as many as `Op`s refer to. passes: `first` micro-step of a
    step, `more` (those after it), `evaluate`; each a mapping of segments: `before`, `P.<role>`
    (made for a block beforehand), `F.<role>`, `head` (to the loss), `turn` (the loss's
    backward), `B.<role>`. gradients: segment -> indices of what stays until the optimizer's step.
    workspaces: cuBLAS's, `forward` or `backward`, and ` biased` for that of biased products.
    """

    sizes: tuple[Any, ...]
    tags: tuple[str, ...]
    base: tuple[Base, ...]
    trained: tuple[Trained, ...]
    passes: Mapping[str, Mapping[str, Segment]]
    gradients: Mapping[str, tuple[int, ...]]
    workspaces: tuple[str, ...]


def role(layer: int, layers: int) -> str:
    """Return a block's role among `layers` blocks."""
    if layer == 0:
        return "first"
    if layer == layers - 1:
        return "last"
    if layer == 1:
        return "second"
    return "next-to-last" if layer == layers - 2 else "middle"


def order(segments: Mapping[str, Segment], layers: int) -> Iterator[tuple[str, int | None]]:
    """Yield (segment, layer) in the order in which a pass goes through them."""
    yield "before", None
    if any(name.startswith("P.") for name in segments):
        for layer in range(layers):
            yield f"P.{role(layer, layers)}", layer
    for layer in range(layers):
        yield f"F.{role(layer, layers)}", layer
    yield "head", None
    yield "turn", None
    if any(name.startswith("B.") for name in segments):
        for layer in reversed(range(layers)):
            yield f"B.{role(layer, layers)}", layer


class Player:
    """Play passes of a tape: hand out keys, and say what is released.

    sizes: the bytes of each of the tape's sizes, rounded or not. Events are (key, bytes), and
    (key, -1) for a release.
    """

    def __init__(self, tape: Tape, sizes: list[int], layers: int) -> None:
        self.tape, self.sizes, self.layers = tape, sizes, layers
        self.key = 0
        self.kinds: dict[int, str] = {}  # key -> account
        self._by_segment: dict[str, list[str]] = {}

    def alloc(self, size: int, kind: str) -> Event:
        """Return the event of an allocation with a new key, for an account."""
        self.key += 1
        self.kinds[self.key] = kind
        return self.key, size

    def play(self, name: str, *, marks: bool = False) -> tuple[list[Event], list[int]]:
        """Return the events of a pass, and the keys of the gradients that it leaves.

        marks: with a (PHASE, segment) where each segment begins, instead of where backward does.
        """
        segments = self.tape.passes[name]
        made: dict[tuple[str, int | None], list[int]] = {}
        events: list[Event] = []
        alive: dict[int, None] = {}
        for segment, layer in order(segments, self.layers):
            if marks:
                events.append((PHASE, segment))
            elif segment == "turn" and name != "evaluate":
                events.append((PHASE, "backward"))
            phase = segment[0] if layer is not None else segment
            keys = made.setdefault((phase, layer), [])
            accounts = self._accounts(segment)
            for op in segments.get(segment, ()):
                if len(op) == 2:
                    event = self.alloc(self.sizes[op[0]], accounts[op[1]])
                    keys.append(event[0])
                    alive[event[0]] = None
                    events.append(event)
                    continue
                for place in self._places(layer, op[1]):
                    key = made[op[0], place][op[2]]
                    if key in alive:
                        del alive[key]
                        events.append((key, -1))
        kept = self._kept(name, made)
        for key in kept:
            self.kinds[key] = "gradients"
        left = set(kept)
        events += [(key, -1) for key in alive if key not in left]
        return events, kept

    def _accounts(self, segment: str) -> list[str]:
        """Return the account of each tag in a segment; blocks of all roles share theirs."""
        of_blocks = "." in segment
        name = "F." if of_blocks else segment
        if name not in self._by_segment:
            self._by_segment[name] = [account(segment, tag) for tag in self.tape.tags]
        return self._by_segment[name]

    def _places(self, layer: int | None, where: int | str) -> Iterable[int | None]:
        if isinstance(where, int):
            return (None if layer is None else layer + where,)
        ends = {"first": 0, "second": 1, "next-to-last": self.layers - 2, "last": self.layers - 1}
        if where == "middle":
            return range(2, self.layers - 2)
        return (ends[where] if where else None,)

    def _kept(self, name: str, made: Mapping[tuple[str, int | None], list[int]]) -> list[int]:
        kept = []
        for segment, layer in order(self.tape.passes[name], self.layers):
            phase = segment[0] if layer is not None else segment
            for index in self.tape.gradients.get(f"{name}.{segment}", ()):
                kept.append(made[phase, layer][index])
        return kept
