"""Tapes: the allocations of a training step, recorded once and played back at any size.

A tape is recorded from the real libraries (`ftspec.compiler.memory.trace`) for one *regime*: an
architecture, a method and the switches that change which operations run. Its sizes are products of
symbols (batch, length, widths, rank); its blocks are written once and repeated as often as a model
has layers. Played back, it gives the events that the allocator sees.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
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


@dataclass(frozen=True, slots=True)
class Asked:
    """A workspace of cuBLAS's, and where it is first asked for; it stays for good.

    name: `forward` or `backward`, the thread, and ` biased` for that of biased products. after:
    how many allocations of that pass's segment come before; blocks of one role: the first's.
    """

    name: str
    played: str
    segment: str
    after: int


@dataclass(frozen=True)
class Tape:
    """A recorded regime.

    sizes: expressions (see `symbols`), as many as `Op`s refer to. passes: `first` micro-step of a
    step, `more` (those after it), `evaluate`; each a mapping of segments: `before`, `P.<role>`
    (made for a block beforehand), `F.<role>`, `head` (to the loss), `turn` (the loss's
    backward), `B.<role>`. gradients: segment -> indices of what stays until the optimizer's step.
    asked: cuBLAS's workspaces.
    """

    sizes: tuple[Any, ...]
    tags: tuple[str, ...]
    base: tuple[Base, ...]
    trained: tuple[Trained, ...]
    passes: Mapping[str, Mapping[str, Segment]]
    gradients: Mapping[str, tuple[int, ...]]
    asked: tuple[Asked, ...]

    def __hash__(self) -> int:
        """Hash the object, not what it holds: a tape is read once, and asked for often."""
        return id(self)

    @property
    def workspaces(self) -> tuple[str, ...]:
        """The names of cuBLAS's workspaces."""
        return tuple(one.name for one in self.asked)

    def evaluated_as(self, other: Tape) -> Tape:
        """Return the tape with another's evaluation: its batch may have a mask, or have none."""
        sizes, tags = len(self.sizes), len(self.tags)
        moved = {
            name: tuple((op[0] + sizes, op[1] + tags) if len(op) == 2 else op for op in ops)
            for name, ops in other.passes["evaluate"].items()
        }
        return replace(
            self,
            sizes=self.sizes + other.sizes,
            tags=self.tags + other.tags,
            passes={**self.passes, "evaluate": moved},
        )


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


Place = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass through so many blocks, at any size: its keys count from 1.

    steps: (key, index of its size), with index -1 where it is released. kinds: each key's account.
    kept: keys of the gradients that it leaves. begins: (place, segment). asked: (segment, how many
    of its allocations come before) -> place, in the first block of a role. end: the place from
    which on what is left is released. A place: number of the step; of the segment; 0 before it.
    """

    steps: tuple[tuple[int, int], ...]
    kinds: tuple[str, ...]
    kept: tuple[int, ...]
    begins: tuple[tuple[Place, str], ...]
    asked: Mapping[tuple[str, int], Place]
    end: Place


@lru_cache(maxsize=64)  # a run plays a pass several times, and the planner asks for many runs
def passed(tape: Tape, name: str, layers: int) -> Pass:
    """Return how a pass of a tape goes through a model of so many blocks."""
    segments = tape.passes[name]
    made: dict[tuple[str, int | None], list[int]] = {}
    steps: list[tuple[int, int]] = []
    kinds: list[str] = []
    begins: list[tuple[Place, str]] = []
    asked: dict[tuple[str, int], Place] = {}
    alive: dict[int, None] = {}
    of_segment = _Accounts(tape.tags)
    for segment, layer in order(segments, layers):
        number, first = len(begins), (segment, 0) not in asked
        begins.append(((len(steps), number, 0), segment))
        phase = segment[0] if layer is not None else segment
        keys = made.setdefault((phase, layer), [])
        accounts = of_segment[segment]
        if first:
            asked[segment, 0] = (len(steps), number, 1)
        for op in segments.get(segment, ()):
            if len(op) == 2:
                kinds.append(accounts[op[1]])
                key = len(kinds)
                keys.append(key)
                alive[key] = None
                steps.append((key, op[0]))
                if first:
                    asked[segment, len(keys)] = (len(steps), number, 1)
                continue
            for place in _places(layers, layer, op[1]):
                key = made[op[0], place][op[2]]
                if key in alive:
                    del alive[key]
                    steps.append((key, -1))
    kept = _kept(tape, name, layers, made)
    for key in kept:
        kinds[key - 1] = "gradients"
    end, left = (len(steps), len(begins), 1), set(kept)
    steps += [(key, -1) for key in alive if key not in left]
    return Pass(tuple(steps), tuple(kinds), tuple(kept), tuple(begins), asked, end)


class _Accounts(dict[str, list[str]]):
    """The account of each tag in a segment; blocks of all roles share theirs."""

    def __init__(self, tags: tuple[str, ...]) -> None:
        super().__init__()
        self.tags = tags

    def __missing__(self, segment: str) -> list[str]:
        name = "F." if "." in segment else segment
        if name != segment:
            return self[name]
        self[name] = [account(segment, tag) for tag in self.tags]
        return self[name]


def _places(layers: int, layer: int | None, where: int | str) -> Iterable[int | None]:
    if isinstance(where, int):
        return (None if layer is None else layer + where,)
    ends = {"first": 0, "second": 1, "next-to-last": layers - 2, "last": layers - 1}
    if where == "middle":
        return range(2, layers - 2)
    return (ends[where] if where else None,)


def _kept(
    tape: Tape, name: str, layers: int, made: Mapping[tuple[str, int | None], list[int]]
) -> list[int]:
    kept = []
    for segment, layer in order(tape.passes[name], layers):
        phase = segment[0] if layer is not None else segment
        for index in tape.gradients.get(f"{name}.{segment}", ()):
            kept.append(made[phase, layer][index])
    return kept


class Player:
    """Play passes of a tape: hand out keys, and say what is released.

    sizes: the bytes of each of the tape's sizes, rounded or not. Events are (key, bytes), and
    (key, -1) for a release.
    """

    def __init__(self, tape: Tape, sizes: list[int], layers: int) -> None:
        self.tape, self.sizes, self.layers = tape, sizes, layers
        self.key = 0
        self.kinds: dict[int, str] = {}  # key -> account

    def copy(self) -> Player:
        """Return a player that goes on from here by itself."""
        twin = Player(self.tape, self.sizes, self.layers)
        twin.key, twin.kinds = self.key, dict(self.kinds)
        return twin

    def alloc(self, size: int, kind: str) -> Event:
        """Return the event of an allocation with a new key, for an account."""
        self.key += 1
        self.kinds[self.key] = kind
        return self.key, size

    def play(
        self,
        name: str,
        *,
        marks: bool = False,
        workspaces: Iterable[tuple[str, int, int]] = (),
    ) -> tuple[list[Event], list[int]]:
        """Return the events of a pass, and the keys of the gradients that it leaves.

        marks: with a (PHASE, segment) where each segment begins, instead of where backward does.
        workspaces: (segment, after, bytes) of those that this pass asks for.
        """
        played, base = passed(self.tape, name, self.layers), self.key
        sizes = [*self.sizes, -1]
        events: list[Event] = [(base + key, sizes[place]) for key, place in played.steps]
        self.key += len(played.kinds)
        self.kinds.update(zip(range(base + 1, self.key + 1), played.kinds, strict=True))
        between: list[tuple[Place, Event]] = []
        for at, segment in played.begins:
            if marks:
                between.append((at, (PHASE, segment)))
            elif segment == "turn" and name != "evaluate":
                between.append((at, (PHASE, "backward")))
        for segment, after, size in workspaces:  # at the end where there are too few blocks
            at = played.asked.get((segment, after), played.end)
            between.append((at, self.alloc(size, "workspace")))
        for place, event in reversed(sorted(between, key=lambda one: one[0])):
            events.insert(place[0], event)
        return events, [base + key for key in played.kept]
