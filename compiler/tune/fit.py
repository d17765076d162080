"""Make a run fit, as far as the spec allows; say what would help where it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from ftspec.compiler.draft import Draft
from ftspec.compiler.facts.hardware import Hardware
from ftspec.compiler.plan import Change, MemoryPlan, Why
from ftspec.compiler.tune.alternatives import Alternatives, alternatives
from ftspec.compiler.tune.ladder import Decide, Step, changes, climb
from ftspec.spec.finding import Edit, Prescription
from ftspec.spec.model import Leave, Spec

GIB = 2**30
# What may be allowed beside what a spec allows, the least first.
LEAVES: tuple[tuple[Leave, ...], ...] = (
    (),
    ("optimizer",),
    ("quantize",),
    ("shorten",),
    ("quantize", "shorten"),
    ("optimizer", "quantize", "shorten"),
)
ORDER = (
    "`activation_checkpointing: true`",
    "a smaller `batch_size` with more `gradient_accumulation`",
    "`method: qlora`",
    "a shorter `max_length`",
    "a larger card (--gpu)",
)
Rate = Callable[[Draft], float | None]


@dataclass(frozen=True, slots=True)
class Misfit:
    """A verdict other than `fits`, and the ways out of it.

    prescriptions: patches of the spec with which it fits, the mildest first; leaves: what each of
    them needs leave for. instead: a card or a model that would do. left: in words, where no patch
    was looked for.
    """

    memory: MemoryPlan
    hardware: Hardware
    prescriptions: tuple[Prescription, ...] = ()
    leaves: tuple[tuple[Leave, ...], ...] = ()
    instead: Alternatives = Alternatives()
    left: tuple[str, ...] = ()


def fit(start: Draft, decide: Decide, rate: Rate) -> Draft:
    """Run the passes, and the ladder where the run does not fit and memory is tuned.

    start: the draft before the passes. rate: tokens a second of a draft's plan.
    """
    draft = decide(start)
    if start.spec.tune.memory != "auto":
        return draft
    steps = climb(start, draft, decide, start.spec.tune.allow)
    return taken(steps, start.spec, rate) if steps else draft


def taken(steps: Sequence[Step], given: Spec, rate: Rate) -> Draft:
    """Return the draft after some steps, with what they changed of the spec as it was given."""
    draft = steps[-1].after
    made = changes(steps, given, rate)
    why = {change.path: Why(by="plan", reason=change.reason) for change in made}
    return replace(
        draft,
        changes=(*draft.changes, *made),
        why=MappingProxyType({**draft.why, **why}),
    )


def misfit(start: Draft, draft: Draft, decide: Decide, rate: Rate) -> Misfit:
    """Return the ways out of a run that does not fit, or may not."""
    memory: MemoryPlan = draft["memory"]
    if start.spec.tune.memory == "off" or memory.verdict not in ("no", "tight"):
        return Misfit(memory, draft.hardware, left=ORDER)
    found = list(_ways(start, draft, decide, rate))
    instead = Alternatives() if memory.verdict == "tight" else alternatives(start, draft, decide)
    prescriptions = tuple(prescription for prescription, _ in found)
    leaves = tuple(needed for _, needed in found)
    return Misfit(memory, draft.hardware, prescriptions, leaves, instead)


def _ways(
    start: Draft, draft: Draft, decide: Decide, rate: Rate
) -> Iterator[tuple[Prescription, tuple[Leave, ...]]]:
    """Yield what makes a run fit: each leave by itself, several only where none does."""
    allowed = start.spec.tune.allow
    enough: list[tuple[Leave, ...]] = []
    for leaves in LEAVES:
        if any(set(one) < set(leaves) for one in enough) or (leaves and () in enough):
            continue
        steps = climb(start, draft, decide, (*allowed, *leaves), sure=True)
        if not steps or steps[-1].after["memory"].verdict != "fits":
            continue
        needed = tuple(leave for leave in leaves if leave not in allowed)
        if needed in enough:
            continue
        enough.append(needed)
        yield _prescription(steps, changes(steps, start.spec, rate)), needed


def _prescription(steps: Sequence[Step], made: Sequence[Change]) -> Prescription:
    memory = steps[-1].after["memory"]
    edits = tuple(Edit(change.path, change.asked, change.planned) for change in made)
    reasons = dict.fromkeys(change.reason for change in made)
    high, free = memory.high_bytes / GIB, memory.free_bytes / GIB
    return Prescription(
        edits,
        "; then ".join(reasons),
        f"a peak of {memory.peak_bytes / GIB:.1f} GiB, at most {high:.1f} of {free:.1f} GiB free",
        "`ftspec check --measure` on that card shows more",
    )
