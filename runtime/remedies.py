"""What to do after an attempt that failed: the next rung, a roll-back, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftspec.runtime.attempts import Attempt
from ftspec.runtime.ending import Ending
from ftspec.runtime.project import fact, last_words
from ftspec.runtime.recompile import quantized
from ftspec.runtime.rules import edited_project, gpu_lost, no_rung_left, ran_out_of_memory
from ftspec.runtime.rules.trouble import Trouble
from ftspec.runtime.rungs import PATHS, Rung, changes, in_force, next_rung
from ftspec.runtime.watch import prescribed
from ftspec.spec.parse import parse

NOT_FINITE = ("nan", "grad-nan", "grad-explosion")
LEAVES = ("quantize", "shorten")


@dataclass(frozen=True, slots=True)
class Remedy:
    """What the next attempt has: overrides of constants, changes to tell, scripts of its own."""

    words: str
    constants: Mapping[str, Any] = field(default_factory=dict)
    changes: tuple[Mapping[str, Any], ...] = ()
    scripts: Path | None = None


def remedy(
    project: Path, plan: Mapping[str, Any], attempt: Attempt, ended: Ending, number: int
) -> Remedy | None:
    """Return what to do next; None: nothing, the run has failed. `number` is the next attempt's.

    Findings that say why are kept with the attempt.
    """
    settings = attempt.settings
    match ended.kind:
        case "out-of-memory" | "host-memory":
            return _memory(project, plan, attempt, ended, number)
        case "not-finite" if settings.on_nan == "rollback":
            return _roll_back(plan, attempt, NOT_FINITE)
        case "diverges" if settings.on_divergence == "rollback":
            _set_aside(attempt)
            return _roll_back(plan, attempt, ("diverges",))
        case "hangs" if settings.on_hang == "retry":
            return Remedy("once more, from the newest checkpoint", attempt.record["constants"])
        case "gpu-lost":
            words = last_words(attempt.run, attempt.record.get("printed_from") or 0)
            for finding in gpu_lost.find(Trouble(words=words)):
                attempt.found(finding)
    return None


def _memory(
    project: Path, plan: Mapping[str, Any], attempt: Attempt, ended: Ending, number: int
) -> Remedy | None:
    host = ended.kind == "host-memory"
    memory, phase = attempt.record["memory"], attempt.seen.phase
    trouble = Trouble(
        phase=phase,
        step=attempt.seen.step,
        where="host" if host else "GPU",
        predicted=memory["predicted_phase_bytes"] or memory["predicted_bytes"],
        measured=memory["measured_bytes"],
    )
    for finding in ran_out_of_memory.find(trouble):
        attempt.found(finding)
    if attempt.settings.on_oom != "retry":
        return None
    known = attempt.record["constants"]
    now, allowed = in_force(plan, known, attempt.seen.start), allowed_by(plan)
    quantized_already = attempt.record.get("scripts") is not None
    left = [leave for leave in allowed if not (leave == "quantize" and quantized_already)]
    rung = next_rung(phase, now, plan, left, host=host)
    if rung is None:
        helps = [
            leave
            for leave in LEAVES
            if leave not in allowed and next_rung(phase, now, plan, [leave], host=host)
        ]
        full = fact(plan, "method", "type") == "full"
        nothing = Trouble(phase=phase, where=trouble.where, refused=tuple(helps), full=full)
        for finding in no_rung_left.find(nothing):
            attempt.found(finding)
        return None
    return _taken(project, attempt, rung, now, number)


def _taken(
    project: Path, attempt: Attempt, rung: Rung, now: Mapping[str, Any], number: int
) -> Remedy | None:
    told = tuple(changes(rung, now))
    words = f"next rung, {rung.name}: {rung.reason}"
    known = {**attempt.record["constants"], **rung.constants}
    scripts = attempt.record.get("scripts")
    if not rung.recompile:
        return Remedy(words, known, told, attempt.run.path / scripts if scripts else None)
    made = quantized(project, attempt.run, number)
    if made is None:
        return None
    if made.folder is None:
        trouble = Trouble(edited=made.edited, difference=made.difference)
        for finding in edited_project.find(trouble):
            attempt.found(finding)
        return None
    return Remedy(words, known, told, made.folder)


def allowed_by(plan: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what the plan's spec allows; at run time nobody is asked."""
    text = (plan.get("spec") or {}).get("text")
    parsed = parse(text, "ftspec.yaml") if isinstance(text, str) else None
    return tuple(parsed.spec.tune.allow) if parsed and parsed.spec else ()


def _roll_back(plan: Mapping[str, Any], attempt: Attempt, names: tuple[str, ...]) -> Remedy | None:
    """Go on from the newest whole checkpoint (weights in it are finite) with the doctor's patch.

    Of a patch, the learning rate is what can change under way. Without one the same would happen
    again; a fault that was no fault of the numbers is given one more try.
    """
    known = attempt.record["constants"]
    rate = prescribed(attempt.run, names).get(PATHS["learning_rate"])
    now = in_force(plan, known, attempt.seen.start)
    if not isinstance(rate, int | float) or rate == now.get("learning_rate"):
        if any(item.get("rolled_back") for item in attempt.ledger["attempts"][:-1]):
            return None
        attempt.record["rolled_back"] = True
        return Remedy("back to the newest good checkpoint, unchanged, once", known)
    attempt.record["rolled_back"] = True
    told = {
        "path": PATHS["learning_rate"],
        "asked": now.get("learning_rate"),
        "planned": rate,
        "rule": names[0],
        "reason": "the doctor's prescription",
    }
    words = f"back to the newest good checkpoint, with a learning rate of {rate:g}"
    return Remedy(words, {**known, "learning_rate": rate}, (told,))


def _set_aside(attempt: Attempt) -> None:
    """Take checkpoints from after the lowest loss out of the way; they stay under another name."""
    lowest = attempt.against.evidence.get("lowest_step") if attempt.against else None
    if not isinstance(lowest, int):
        return
    for step, folder in attempt.run.checkpoints():
        if step > lowest:
            folder.replace(folder.with_name(f"diverged-{folder.name}"))


def predicted_memory(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a plan predicted: the allocator's peak, and the peaks of phases, in bytes."""
    memory = plan.get("memory") or {}
    return {"allocated": memory.get("allocated_peak_bytes"), "phases": memory.get("phases") or {}}
