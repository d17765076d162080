"""What a measurement found, and what it makes of a plan's memory and speed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from ftspec import __version__
from ftspec.compiler.memory.corrections import MARGIN, Residual, verdict_of
from ftspec.compiler.plan import MemoryPlan, Plan
from ftspec.compiler.speed import Speed

TRAINING = ("forward", "backward", "optimizer")
OUT_OF_MEMORY = 76  # the scripts' exit code for it


@dataclass(frozen=True, slots=True)
class Step:
    """An optimizer step, or an evaluation.

    tokens: real ones, over all ranks. shape: of its largest micro-batch, padding included.
    reserved: the allocator's peak up to its end, in bytes; None on the CPU.
    """

    seconds: float
    tokens: int
    shape: tuple[int, ...] = ()
    reserved: int | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """A measurement. Bytes, each of the fullest card; on the CPU there are none.

    phases: (allocated, reserved) peaks of load, forward, backward, optimizer, evaluate.
    context_from: `driver` (its figure of the process, less reserved), `difference` (what became
    less free), or empty. failed_in: where memory ran out, else empty. retries: how often the
    allocator gave all of its cache back, to make room.
    """

    phases: Mapping[str, tuple[int, int]]
    steps: tuple[Step, ...]
    evaluation: Step | None = None
    context_bytes: int | None = None
    context_from: str = ""
    failed_in: str = ""
    retries: int = 0
    torch: str = ""
    cuda: str | None = None

    @property
    def allocated(self) -> int:
        """The allocator's peak of allocated bytes."""
        return max((peak[0] for peak in self.phases.values()), default=0)

    @property
    def reserved(self) -> int:
        """The allocator's peak of reserved bytes."""
        return max((peak[1] for peak in self.phases.values()), default=0)

    @property
    def by_phase(self) -> dict[str, int]:
        """Allocated peaks under the names that a plan has for phases."""
        found = {name: peak[0] for name, peak in self.phases.items() if name not in TRAINING}
        training = [self.phases[name][0] for name in TRAINING if name in self.phases]
        return {**found, "train": max(training)} if training else found

    def as_json(self) -> dict[str, Any]:
        """Return what programs read of it, beside the plan's memory."""
        return {
            "phases": {
                name: {"allocated_bytes": peak[0], "reserved_bytes": peak[1]}
                for name, peak in self.phases.items()
            },
            "context_from": self.context_from or None,
            "steps": [_step_json(step) for step in self.steps],
            "evaluation": _step_json(self.evaluation) if self.evaluation else None,
            "out_of_memory": self.failed_in or None,
            "allocator_retries": self.retries,
            "torch": self.torch,
            "cuda": self.cuda,
        }


def _step_json(step: Step) -> dict[str, Any]:
    return {"seconds": step.seconds, "tokens": step.tokens, "micro_batch": list(step.shape)}


def from_records(records: Iterable[Mapping[str, Any]]) -> Measured:
    """Return a measurement from what each rank recorded: of every figure, the largest."""
    ranks = list(records)
    first = ranks[0]
    names = {name: None for rank in ranks for name in rank["phases"]}
    contexts = [rank["context"] for rank in ranks if rank.get("context")]
    failed = [rank for rank in ranks if rank["exit"] == OUT_OF_MEMORY]
    return Measured(
        phases={
            name: _largest(rank["phases"][name] for rank in ranks if name in rank["phases"])
            for name in names
        },
        steps=_steps(ranks),
        evaluation=Step(first["eval_seconds"], first["eval_tokens"])
        if "eval_seconds" in first
        else None,
        context_bytes=max(contexts, default=None),
        context_from=str(first.get("context_from") or ""),
        failed_in=_place(failed[0]) if failed else "",
        retries=max(rank.get("retries", 0) for rank in ranks),
        torch=str(first.get("torch", "")),
        cuda=first.get("cuda"),
    )


def _largest(peaks: Iterable[tuple[int, int]]) -> tuple[int, int]:
    allocated, reserved = zip(*peaks, strict=True)
    return max(allocated), max(reserved)


def _steps(ranks: list[Mapping[str, Any]]) -> tuple[Step, ...]:
    steps = []
    for same in zip(*(rank["steps"] for rank in ranks), strict=False):
        reserved = [step["reserved"] for step in same if step["reserved"] is not None]
        shape = max((tuple(step["shape"]) for step in same), key=math.prod)
        seconds = max(step["seconds"] for step in same)
        steps.append(Step(seconds, same[0]["tokens"], shape, max(reserved, default=None)))
    return tuple(steps)


def _place(rank: Mapping[str, Any]) -> str:
    """Return where a rank failed: `step 3, backward`, or `load`."""
    step, phase = rank.get("failed_in") or (0, "load")
    return f"step {step}, {phase}" if phase in TRAINING else str(phase)


def measured_memory(predicted: MemoryPlan, found: Measured) -> MemoryPlan:
    """Return a plan's memory as it was measured; its parts stay as predicted.

    The interval is MARGIN of what was measured, to either side. Where memory ran out, its lower
    end is what was held by then, and the verdict is `no`. A context that the driver does not tell
    stays the predicted one.
    """
    if not found.phases:  # the card was never used: what can have run out is the host's memory
        note = f"host memory ran out in {found.failed_in}"
        update = {"verdict": "no", "method": "measured", "note": note}
        return predicted.model_copy(update=update if found.failed_in else {})
    notes = []
    context = found.context_bytes
    if context is None:
        context = predicted.context_bytes or 0
        notes.append("the context is predicted: the driver does not tell it")
    if found.retries:
        times = "once" if found.retries == 1 else f"{found.retries} times"
        notes.append(f"the allocator gave its cache back {times}, to make room: that is slow")
    peak = found.reserved + context
    low, high = round(peak * (1 - MARGIN)), round(peak * (1 + MARGIN))
    usual = found.steps[1].reserved if len(found.steps) > 1 else None
    verdict = verdict_of(low, high, predicted.free_bytes)
    if found.failed_in:
        low, high, verdict = peak, max(high, predicted.high_bytes or 0), "no"
        notes.append(f"memory ran out in {found.failed_in}: it needs more than it then held")
    phases = found.by_phase
    return predicted.model_copy(
        update={
            "verdict": verdict,
            "phase": max(phases, key=lambda name: phases[name]),
            "peak_bytes": peak,
            "low_bytes": low,
            "high_bytes": high,
            "allocated_peak_bytes": found.allocated,
            "reserved_peak_bytes": found.reserved,
            "moment": max(found.phases, key=lambda name: found.phases[name][0]),
            "expected_peak_bytes": peak if usual is None else usual + context,
            "context_bytes": context,
            "phases": phases,
            "method": "measured",
            "note": "; ".join(notes),
        }
    )


def measured_speed(
    predicted: Speed, found: Measured, plan: Plan, price_per_hour: float | None
) -> Speed:
    """Return a plan's speed as the second step had it, without an interval: it is one step.

    The first step loads kernels, and the third sees the longest rows alone. Compiled graphs are
    still being made then, so a plan that compiles keeps its prediction.
    """
    if len(found.steps) < 2 or not found.phases or plan.train.compile:
        return predicted
    step = found.steps[1]
    rate = step.tokens / step.seconds
    seconds = None
    if predicted.tokens is not None:
        seconds = predicted.tokens / rate
    elif plan.train.total_steps is not None:
        seconds = plan.train.total_steps * step.seconds
    if seconds is not None:
        seconds += _evaluations(found, plan)
    cost = None
    if seconds is not None and price_per_hour is not None:
        cost = seconds / 3600 * price_per_hour
    return replace(
        Speed(predicted.tokens, rate),
        seconds=seconds,
        cost=cost,
        measured=True,
        note=f"measured: one step of {step.tokens:,} tokens in {step.seconds:.2f} s",
    )


def _evaluations(found: Measured, plan: Plan) -> float:
    """Predict the seconds of all evaluations of a run from the batch that was measured."""
    total, rows, once = plan.train.total_steps, plan.data.eval_rows, found.evaluation
    if once is None or total is None or not rows:
        return 0.0
    tokens = rows * (plan.facts.mean_tokens or plan.data.max_length)
    return total // plan.train.eval_steps * once.seconds * tokens / once.tokens


def residual(predicted: MemoryPlan, found: Measured, plan: Plan) -> Residual | None:
    """Return what the prediction was off by; None where there is nothing to compare.

    A run that ended early, or that had to give its cache back, shows less than it needs. A ratio
    beyond all bounds is one of a model so small that its sizes say nothing.
    """
    peak, allocated = predicted.peak_bytes, predicted.allocated_peak_bytes
    if peak is None or not allocated or not found.phases or found.failed_in or found.retries:
        return None
    reserved = peak - (predicted.context_bytes or 0)
    try:
        return Residual(
            method=plan.method.type,
            predicted_by=predicted.method,
            ftspec=__version__,
            predicted_bytes=reserved,
            allocated=round(found.allocated / allocated, 5),
            reserved=round(found.reserved / max(1, reserved), 5),
        )
    except ValidationError:
        return None
