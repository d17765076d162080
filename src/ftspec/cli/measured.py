"""`ftspec check --measure`: three real steps on this machine's card, held against the plan."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from ftspec.cli.failure import Failure, RunFailedError
from ftspec.cli.python import need_libraries
from ftspec.compiler.facts.gpus import find_gpu
from ftspec.compiler.facts.hardware import Hardware
from ftspec.compiler.memory.ledger import context_spread
from ftspec.compiler.pipeline import Compiled, compile_spec
from ftspec.compiler.plan import MemoryPlan, Plan
from ftspec.compiler.rules import does_not_fit, tight
from ftspec.compiler.show import VERDICTS
from ftspec.compiler.speed import Speed
from ftspec.compiler.tune.fit import Misfit
from ftspec.runtime.machine import remember
from ftspec.runtime.measure import MeasurementError, measure
from ftspec.runtime.measured import (
    TRAINING,
    Measured,
    Step,
    measured_memory,
    measured_speed,
    residual,
)
from ftspec.runtime.measured_steps import STEPS
from ftspec.spec.finding import Finding
from ftspec.spec.parse import Parsed, by_place
from ftspec.spec.render import Paint, no_paint

GIB = 2**30
ABOUT_MEMORY = ("does-not-fit", "tight", "memory-unknown")
LEAST = 0.05 * GIB  # sizes under it have no difference worth a percentage


@dataclass(frozen=True, slots=True)
class Taken:
    """A check with what was measured in the place of what was predicted, and the prediction.

    kept: the file that the measurement is kept in, or None.
    """

    compiled: Compiled
    plan: Plan
    predicted: MemoryPlan
    found: Measured
    kept: Path | None

    def as_json(self) -> dict[str, Any]:
        """Return what a check's `memory` has beside its own keys."""
        predicted = self.predicted.model_dump(mode="json")
        return {"predicted": predicted, "measured": self.found.as_json()}


def take(
    parsed: Parsed, root: Path, hardware: Hardware, compiled: Compiled, python: str
) -> Taken | None:
    """Measure what was compiled; None where findings stand against a plan.

    Raises UsageError where the plan is not for a card of this machine, RunFailedError where the
    script fails for another reason than memory.
    """
    plan = compiled.plan
    if plan is None:
        return None
    here = _here(plan, hardware)
    need_libraries(python)
    found = _measured(parsed, root, hardware, compiled.project, python)
    memory = measured_memory(plan.memory, found)
    price = parsed.spec.hardware.price_per_hour if parsed.spec else None
    speed = measured_speed(compiled.speed, found, plan, price)
    kept, problem = remember(plan.hardware.gpu or "", found, residual(plan.memory, found, plan))
    if problem:
        print(f"what was measured is not kept: {problem}", file=sys.stderr)
    rest = [finding for finding in compiled.findings if finding.name not in ABOUT_MEMORY]
    placed = [parsed.placed(finding) for finding in _findings(plan, memory, found, here)]
    findings = tuple(sorted([*rest, *placed], key=by_place))
    measured_plan = plan.model_copy(update={"memory": memory})
    done = replace(compiled, plan=measured_plan, findings=findings, speed=speed)
    return Taken(done, measured_plan, plan.memory, found, kept)


def _here(plan: Plan, hardware: Hardware) -> Hardware:
    """Return this machine's cards. Raises UsageError where the plan is not for them."""
    if not hardware.detected:
        from ftspec.runtime.hardware import detect

        hardware = detect()
    if not hardware.cards:
        why = f": {hardware.note}" if hardware.note else ""
        raise click.UsageError(f"`--measure` needs an NVIDIA card on this machine{why}")
    names = [card.gpu.name for card in hardware.cards]
    if plan.hardware.gpu not in names or plan.hardware.count > len(names):
        wanted = plan.hardware.gpu or "the CPU"
        count = f"{plan.hardware.count} x " if plan.hardware.count > 1 else ""
        raise click.UsageError(
            f"`--measure` runs on this machine's cards ({', '.join(names)}), and the plan is for"
            f" {count}{wanted}"
        )
    if plan.hardware.nodes > 1:
        raise click.UsageError("`--measure` measures one machine; the plan is for several")
    return hardware


def _measured(
    parsed: Parsed, root: Path, hardware: Hardware, project: Path, python: str
) -> Measured:
    """Run the steps in a folder that is gone afterwards; the project folder is not touched."""
    prefix = "ftspec-measure-"
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        # Compiled anew, since scripts name the data as seen from their own folder.
        plan = compile_spec(
            parsed, root, hardware, project=folder / "project", needs_data=True
        ).plan
        assert plan is not None, "what compiles for one folder compiles for another"
        try:
            return measure(plan, folder, _say, python=python, base=project / "base")
        except MeasurementError as error:
            print(error.words, file=sys.stderr)
            raise RunFailedError(f"nothing was measured: {error}") from None
        except OSError as error:
            raise Failure(f"`{folder}` cannot be written: {error.strerror}") from None


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _findings(
    plan: Plan, memory: MemoryPlan, found: Measured, hardware: Hardware
) -> Iterator[Finding]:
    """Find what was measured not to fit, or only just to."""
    ways = ways_out(plan)
    if found.failed_in:
        held, free = (memory.low_bytes or 0) / GIB, memory.free_bytes / GIB
        yield does_not_fit.RULE.finding(
            f"memory ran out when it was measured: in `{found.failed_in}`",
            found=f"{held:.1f} GiB were held by then, of {free:.1f} GiB that were free",
            help=f"try in this order: {', '.join(ways)}",
            evidence={"held_bytes": memory.low_bytes, "free_bytes": memory.free_bytes},
        )
    else:
        misfit = Misfit(memory, hardware, left=ways)
        yield from does_not_fit.find(misfit)
        yield from tight.find(misfit)


def ways_out(plan: Plan) -> tuple[str, ...]:
    """Return what is left of the guide's ladder for a plan, in its order."""
    method, train = plan.method, plan.train
    ways = []
    if train.activation_checkpointing is False and method.type != "prefix":
        ways.append("`activation_checkpointing: true`")
    if train.batch_size > 1:
        ways.append("a smaller `batch_size` with more `gradient_accumulation`")
    if method.type in ("lora", "full"):
        ways.append("`method: qlora`")
    elif method.type in ("prefix", "prompt") and method.quantization == "none":
        ways.append("`quantization: nf4`")
    return (*ways, "a shorter `max_length`", "a larger card (--gpu)")


def measured_lines(taken: Taken, paint: Paint = no_paint) -> Iterator[str]:
    """Yield the table of what was predicted and measured, the verdict, and the time."""
    steps, memory = taken.found.steps, taken.plan.memory
    longest = f", the last of the longest rows ({_shape(steps[-1])})" if len(steps) == STEPS else ""
    yield f"measured on {taken.plan.hardware.gpu}: {len(steps)} of {STEPS} steps{longest}"
    yield f"  {'':<14}{'predicted':>12}{'measured':>12}{'difference':>12}"
    for name, before, now in rows(taken):
        indent = "  " if name in TRAINING else ""
        line = f"  {indent + name:<14}{_size(before):>12}{_size(now):>12}{_off(before, now):>12}"
        yield paint(line, "bold") if name == "peak" else line.rstrip()
    words, style = VERDICTS[memory.verdict]
    needs = ""
    if memory.peak_bytes is not None:
        at_least = "at least " if taken.found.failed_in else ""
        needs = f": {at_least}{memory.peak_bytes / GIB:.1f} GiB at the peak"
    yield f"memory: {paint(words, style)}, as measured{needs}"
    yield f"        of {memory.free_bytes / GIB:.1f} GiB free on {taken.plan.hardware.gpu}"
    yield from (f"        ({note})" for note in memory.note.split("; ") if note)
    if outside := _outside(taken):
        yield f"        ({outside})"
    if not taken.found.failed_in:
        yield from _time(taken.compiled.speed)
    if taken.kept:
        yield f"kept for later checks: {taken.kept} (delete it to forget)"


def _outside(taken: Taken) -> str:
    """Say that the predicted interval, with the measured context, does not hold what it took."""
    before, now = taken.predicted, taken.plan.memory
    low, high, peak = before.low_bytes, before.high_bytes, now.peak_bytes
    if low is None or high is None or peak is None or taken.found.failed_in:
        return ""
    shift = (now.context_bytes or 0) - (before.context_bytes or 0)
    unsure = context_spread(find_gpu(taken.plan.hardware.gpu or ""))  # it is measured now
    low, high = low + unsure, high - unsure
    if low <= peak - shift <= high:
        return ""
    ends = f"{(low + shift) / GIB:.1f} to {(high + shift) / GIB:.1f} GiB"
    return f"outside of what was predicted with this context: {ends}"


def _time(speed: Speed) -> Iterator[str]:
    """Yield how long the run takes, as far as that was measured."""
    rate = speed.tokens_per_second
    if rate is None:
        return
    words = [f"{rate:,.0f} tokens/s"]
    if speed.seconds is not None:
        minutes = speed.seconds / 60
        words.insert(0, f"about {minutes / 60:.1f} h" if minutes >= 90 else f"{minutes:.1f} min")
    if speed.cost is not None:
        words.append(f"costs {speed.cost:.2f}")
    yield f"time:   {', '.join(words)}"
    yield f"        ({speed.note or 'predicted: the measured steps do not tell'})"


def _shape(step: Step) -> str:
    return " x ".join(map(str, step.shape))


def _off(before: int | None, now: int | None) -> str:
    if not before or now is None or max(before, now) < LEAST:
        return ""
    return f"{100 * (now / before - 1):+.1f} %"


def rows(taken: Taken) -> Iterator[tuple[str, int | None, int | None]]:
    """Yield (name, predicted, measured) of the table, in bytes: allocated, phase by phase.

    Then the allocator's peaks, the context, and what the driver shows, which is the last two
    together.
    """
    predicted, memory, found = taken.predicted, taken.plan.memory, taken.found
    measured = {**{name: peak[0] for name, peak in found.phases.items()}, **found.by_phase}
    for name in ("load", "train", *TRAINING, "evaluate"):
        if name in measured:
            yield name, predicted.phases.get(name), measured[name]
    if not found.phases:
        return
    peak, context = predicted.peak_bytes, predicted.context_bytes
    reserved = None if peak is None else peak - (context or 0)
    yield "allocated", predicted.allocated_peak_bytes, found.allocated
    yield "reserved", reserved, found.reserved
    yield "context", context, found.context_bytes
    yield "peak", peak, memory.peak_bytes


def _size(size: int | None) -> str:
    if size is None:
        return "-"
    return f"{size / GIB:.2f} GiB" if size >= 0.1 * GIB else f"{size / 2**20:.1f} MiB"
