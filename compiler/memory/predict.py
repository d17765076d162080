"""Predict a set-up's memory by the best way there is: a tape, a live trace, or the closed form."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Protocol

from ftspec.compiler.facts.gpus import Gpu
from ftspec.compiler.memory import ledger as closed
from ftspec.compiler.memory import tapes
from ftspec.compiler.memory.accounts import ACCOUNTS
from ftspec.compiler.memory.ledger import Ledger, Part
from ftspec.compiler.memory.peaks import Peaks, peaks
from ftspec.compiler.memory.quick import quick_peaks
from ftspec.compiler.memory.regime import regime, structure
from ftspec.compiler.memory.tape import Tape
from ftspec.compiler.memory.work import Work

MIB = 2**20
# What the allocator holds beside the replay's: pages of 20 MiB that lie otherwise than replayed.
# From the `tune` cases of bench/vram (RESULTS.md); the interval is judged on the others.
SLACK_BYTES, SLACK_SHARE = 80 * MIB, 0.02


class Tracer(Protocol):
    """Traces a set-up live, where no tape covers it; `failed` says why the last one gave none."""

    failed: str

    def __call__(
        self, config: Mapping[str, Any], work: Work, capability: tuple[int, ...]
    ) -> Peaks | None:
        """Return the peaks, or None where this machine cannot trace it."""


def predict(
    config: Mapping[str, Any] | None, work: Work, gpu: Gpu | None, tracer: Tracer | None = None
) -> Ledger | None:
    """Return the ledger of a set-up; None where nothing can be said of it.

    config: the model's config.json. tracer: asked where there is no tape; without one the closed
    form answers, and the ledger's `method` says which way it was.
    """
    if gpu is not None and config is not None:
        found = _by_tape(config, work, gpu)
        if found is None and tracer is not None:
            seen = tracer(config, work, gpu.capability)
            found = None if seen is None else of_peaks(seen, work, gpu, "traced")
        if found is None:
            found = _by_tape(config, work, gpu, near=True)
        if found is not None:
            return found
    return closed.predict(work, gpu) if covered(work) else None


def covered(work: Work) -> bool:
    """Whether the closed form knows the architecture."""
    return work.shape.family is not None and not work.shape.experts


def _by_tape(
    config: Mapping[str, Any], work: Work, gpu: Gpu, *, near: bool = False
) -> Ledger | None:
    tape = _tape(config, work, gpu, near=near)
    if tape is None:
        return None
    return of_peaks(peaks(tape, work, gpu.capability), work, gpu, "tape")


def _tape(config: Mapping[str, Any], work: Work, gpu: Gpu, *, near: bool = False) -> Tape | None:
    """Return the tape of a set-up's regime, with its evaluation's.

    near: that of padded rows does for packed ones; it reserves up to 2 % more or less.
    """
    key = structure(config, work.shape)
    both = (regime(config, one, gpu.capability) for one in (work, work.evaluated))
    near_by = (name.replace("packed", "masked") if near and name else name for name in both)
    names = dict.fromkeys(near_by)
    found = [None if name is None else tapes.find(key, name) for name in names]
    tape, evaluation = found[0], found[-1]
    if tape is None or evaluation is None:
        return None
    return tape if tape is evaluation else _joined(tape, evaluation)


@lru_cache(maxsize=64)
def _joined(tape: Tape, evaluation: Tape) -> Tape:
    return tape.evaluated_as(evaluation)


def of_peaks(seen: Peaks, work: Work, gpu: Gpu, method: str) -> Ledger:
    """Make a ledger of what a replay saw; another rank's gradients lie beside (DDP's buckets)."""
    context, spread = closed.context_bytes(gpu, work), closed.context_spread(gpu)
    buckets = seen.parts.get("gradients", 0) if work.ranks > 1 else 0
    parts = [
        Part(name, size, *ACCOUNTS[name]) for name, size in seen.parts.items() if name in ACCOUNTS
    ]
    if buckets:
        parts.append(Part("buckets", buckets, "a copy of the gradients", "torch DDP"))
    slack = seen.reserved - seen.allocated
    parts.append(Part("slack", slack, "reserved and not in use", "the allocator, replayed"))
    phases = {"load": seen.phases["load"][0]}
    training = (seen.phases.get(name, (0, 0))[0] for name in ("forward", "backward", "optimizer"))
    phases["train"] = max(training) + buckets
    if "evaluate" in seen.phases:
        phases["evaluate"] = seen.phases["evaluate"][0] + buckets
    phases |= _after(seen, work)
    reserved = seen.reserved + buckets
    allocated = seen.allocated + buckets
    return Ledger(
        parts=tuple(parts),
        phases=phases,
        context_bytes=context,
        reserved_bytes=reserved,
        low=allocated + context - spread,
        high=reserved + SLACK_BYTES + round(SLACK_SHARE * reserved) + context + spread,
        method=method,
        moment=seen.moment,
    )


RESTING = ("base_weights", "adapters", "optimizer", "workspace")


def _after(seen: Peaks, work: Work) -> dict[str, int]:
    """Return what saving and chatting hold; merging happens on the host.

    Saving copies tensors to the host one by one. Generation keeps two bytes for each key and
    value of every block, for as many tokens as rows have.
    """
    loaded = sum(seen.parts.get(name, 0) for name in ("base_weights", "adapters"))
    cache = 2 * 2 * work.shape.layers * work.shape.kv_width * work.length
    resting = sum(seen.parts.get(name, 0) for name in RESTING)
    return {"save": resting, "generate": loaded + cache}


def quick(config: Mapping[str, Any] | None, work: Work, gpu: Gpu | None) -> Ledger | None:
    """Predict for the planner, which asks often: by tape without a replay, else by closed form."""
    if gpu is not None and config is not None:
        tape = _tape(config, work, gpu, near=True)
        if tape is not None:
            return of_peaks(quick_peaks(tape, work, gpu.capability), work, gpu, "tape")
    return closed.predict(work, gpu) if covered(work) else None
