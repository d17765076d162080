"""Play a tape at a set-up's sizes and replay it through the allocator: peaks, phase by phase."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count
from typing import Any

from ftspec.compiler.memory.accounts import account, totals
from ftspec.compiler.memory.replay import EMPTY_CACHE, PHASE, Replay, replay
from ftspec.compiler.memory.simulate import (
    Setting,
    evaluation,
    events,
    load_quantized,
    paged_bytes,
    training,
)
from ftspec.compiler.memory.sizes import sizes
from ftspec.compiler.memory.tape import Player, Tape
from ftspec.compiler.memory.trace.calls import Call, inside
from ftspec.compiler.memory.trace.cards import Capability
from ftspec.compiler.memory.trace.workspaces import cublas_workspace, cublaslt_workspace
from ftspec.compiler.memory.work import Work

TORCH = (2, 11)  # whose biased workspace is counted; torch 2.12 and later need less
# How checkpoints hold experts (transformers 5.23, conversion_mapping.py): the gates before what
# goes down, where others hold them after it; and merged already.
GATES_FIRST = ("mixtral", "minimax", "phimoe")
HELD_MERGED = ("gpt_oss",)
BASE = "base::"  # before the names of a trace's weights
INPUTS = 3  # ids, labels, and a mask or positions: eight bytes a token each


@dataclass(frozen=True, slots=True)
class Peaks:
    """Peaks in bytes: the allocator's and what it reserves, over the run and in each phase.

    parts: what the allocated peak is made of. moment: the phase that it happens in. paged:
    managed memory of a paged optimizer, which lies outside of the allocator.
    """

    allocated: int
    reserved: int
    phases: dict[str, tuple[int, int]]
    parts: dict[str, int]
    moment: str
    paged: int


def peaks(tape: Tape, work: Work, capability: Capability) -> Peaks:
    """Return the peaks of a run of `work`, by the tape of its regime."""
    trained = _trained(tape, replace(work, eval_batch=0), capability)
    setting = setting_of(work, capability)
    at_evaluation = _evaluated(tape, work, capability) if work.eval_batch else []
    player, replaying = trained.player.copy(), trained.replaying.copy()
    made = list(evaluation(player, at_evaluation, setting))
    replaying.feed(made)
    replayed = replaying.result()
    return Peaks(
        allocated=replayed.allocated_peak,
        reserved=replayed.reserved_peak,
        phases=replayed.phases,
        parts=totals([*trained.events, *made], player.kinds, replayed.allocated_at),
        moment=max(replayed.phases, key=lambda name: replayed.phases[name][0]),
        paged=trained.paged,
    )


@dataclass(frozen=True, slots=True)
class _Trained:
    """A run as far as its evaluation: what played it, its events, and their replay."""

    player: Player
    events: list[tuple[int, int | str]]
    replaying: Replay
    paged: int


@lru_cache(maxsize=2)  # the planner asks for runs that differ in their evaluation alone
def _trained(tape: Tape, work: Work, capability: Capability) -> _Trained:
    known = sizes(tape, work, work.batch, tuple(capability))
    setting = setting_of(work, capability)
    player = Player(tape, known, setting.layers)
    made, replaying = list(training(player, known, setting)), Replay()
    replaying.feed(made)
    return _Trained(player, made, replaying, paged_bytes(tape, known, setting))


def _evaluated(tape: Tape, work: Work, capability: Capability) -> list[int]:
    return sizes(tape, work.evaluated, work.eval_batch, tuple(capability), training=False)


def of_trace(seen: Any, tape: Tape | None, work: Work, capability: Capability) -> Peaks:
    """Return the peaks of a live trace: by its fold over few blocks, or as it stands."""
    if tape is not None:
        known = [_traced_size(size, seen.calls, capability) for size in tape.sizes]
        setting = setting_of(work, capability)
        player = Player(tape, known, setting.layers)
        made = list(events(player, known, setting))
        kinds, paged = player.kinds, paged_bytes(tape, known, setting)
    else:
        made, kinds = _as_it_stands(seen.events, seen.gradients)
        if work.quantization != "none":
            made = _quantized_on_the_card(made, kinds, seen.events, setting_of(work, capability))
        paged = 0
    replayed = replay(made)
    return Peaks(
        allocated=replayed.allocated_peak,
        reserved=replayed.reserved_peak,
        phases=replayed.phases,
        parts=totals(made, kinds, replayed.allocated_at),
        moment=max(replayed.phases, key=lambda name: replayed.phases[name][0]),
        paged=paged,
    )


def _traced_size(size: Any, calls: list[Call], capability: Capability) -> int:
    if size[0] == "bytes":
        return int(size[1])
    return int(inside(calls[size[1]], capability)[size[2]])


def _as_it_stands(
    traced: list[tuple[int, int, str]], gradients: Mapping[int, str]
) -> tuple[list[tuple[int, int | str]], dict[int, str]]:
    """Return a whole trace's events with phases, and each allocation's account."""
    phase = {"micro": "forward", "clip": "optimizer", "optimizer": "optimizer"}
    made: list[tuple[int, int | str]] = []
    kinds: dict[int, str] = {}
    segment = ""
    for key, size, tag in traced:
        if key != -1:
            made.append((key, size))
            if size >= 0:
                kinds[key] = "gradients" if key in gradients else _account_of(segment, tag)
            continue
        segment = tag
        name = phase.get(tag.split()[2]) if tag.startswith("step ") else None
        name = {"load": "load", "turn": "backward", "evaluate": "evaluate"}.get(tag, name)
        if name:
            made.append((PHASE, name))
    return made, kinds


class _Allocations:
    """Gives keys to allocations that no trace has, and keeps their accounts."""

    def __init__(self, first: int, kinds: dict[int, str]) -> None:
        self.keys, self.kinds = count(first), kinds

    def alloc(self, size: int, kind: str) -> tuple[int, int]:
        """Return the event of an allocation."""
        key = next(self.keys)
        self.kinds[key] = kind
        return key, size


def _quantized_on_the_card(
    made: list[tuple[int, int | str]],
    kinds: dict[int, str],
    traced: list[tuple[int, int, str]],
    setting: Setting,
) -> list[tuple[int, int | str]]:
    """Return a whole trace's events with its weights loaded as they are quantized; adds to kinds.

    A trace meets them where they lie. One that gives some of them back is left as it is.
    """
    base = {
        key: (tag.removeprefix(BASE), size) for key, size, tag in traced if tag.startswith(BASE)
    }
    if any(key in base and size == -1 for key, size in made):
        return made
    rest = [event for event in made if event[0] not in base]
    start = rest.index((PHASE, "load")) + 1
    allocations = _Allocations(max(kinds) + 1, kinds)
    loading = [*load_quantized(allocations, list(base.values()), setting), (EMPTY_CACHE, 0)]
    return [*rest[:start], *loading, *rest[start:]]


def _account_of(segment: str, tag: str) -> str:
    first = tag.split(":")[0]
    if first == "base":
        return "adapters" if ".lora_" in tag or "prompt_encoder" in tag else "base_weights"
    if first in ("workspace", "input"):
        return "workspace" if first == "workspace" else "batch"
    if first in ("optimizer", "clip"):
        return "optimizer" if first == "optimizer" else "gradients"
    return account(segment, tag)


def setting_of(work: Work, capability: Capability) -> Setting:
    """Return what of a run is not on the tape."""
    return Setting(
        layers=work.shape.layers,
        accumulation=work.accumulation,
        optimizer=work.optimizer,
        inputs=(8 * work.batch * work.length,) * INPUTS,
        eval_inputs=(8 * work.eval_batch * work.evaluated.length,) * INPUTS
        if work.eval_batch
        else (),
        workspace=cublas_workspace(capability),
        biased_workspace=cublaslt_workspace(TORCH),
        quantized=work.quantization != "none",
        transposed=work.shape.family is not None and work.shape.family.conv1d,
        experts=0 if work.shape.architecture in HELD_MERGED else work.shape.experts,
        gates_first=work.shape.architecture in GATES_FIRST,
    )
