"""The out-of-memory ladder: what a run that does not fit gives up, rung by rung.

The order is the guide's: activation checkpointing, a smaller micro-batch with more accumulation,
4-bit quantization, shorter rows. Beyond it stand two rungs where they cost least: a smaller
evaluation batch first, and an 8-bit optimizer before quantization. Values that the spec leaves
open are chosen by the passes in that order anyway; here are the explicit ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ftspec.compiler.draft import Draft
from ftspec.compiler.plan import Change, MemoryPlan
from ftspec.spec.model import Leave, Spec

LENGTH_STEP = 64  # tokens; lengths are multiples of it, as the plan's own are
SHORTEST = 128  # tokens
KEPT = 0.5  # of the tokens, below which rows are not cut further

RANKS = {"unknown": 0, "no": 0, "tight": 1, "fits": 2}

Decide = Callable[[Draft], Draft]
Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rung:
    """One thing to give up.

    options: what may be set in a spec, from the mildest to the most that this rung gives; None
    opens a key, for the passes to choose. leave: what the user must have allowed.
    """

    name: str
    options: Callable[[Draft], Sequence[Values]]
    leave: Leave | None = None
    what: str = ""


def evaluation(draft: Draft) -> Sequence[Values]:
    """A smaller batch in evaluation, where the peak is there."""
    asked = draft.spec.train.eval_batch_size
    if asked is None or _memory(draft).phase != "evaluate":
        return ()
    return ({"train.eval_batch_size": None},)


def checkpointing(draft: Draft) -> Sequence[Values]:
    """Recompute activations; a prefix gets no gradient through that."""
    if draft.spec.method.type == "prefix" or draft["train.activation_checkpointing"] is True:
        return ()
    return ({"train.activation_checkpointing": True},)


def batch(draft: Draft) -> Sequence[Values]:
    """A smaller micro-batch and more accumulation: the examples a step stay."""
    train = draft.spec.train
    if draft["train.batch_size"] == 1 or (
        train.batch_size is None and train.gradient_accumulation is None
    ):
        return ()
    opened = {"train.batch_size": None, "train.gradient_accumulation": None}
    return ({**opened, "train.effective_batch": draft["train.effective_batch"]},)


def optimizer(draft: Draft) -> Sequence[Values]:
    """Keep the optimizer's two moments in 8 bits."""
    if draft.spec.train.optimizer is not None or draft.hardware.gpu is None:
        return ()
    return ({"train.optimizer": "adamw_8bit"}, {"train.optimizer": "paged_adamw_8bit"})


def quantize(draft: Draft) -> Sequence[Values]:
    """Keep the frozen base in 4 bits."""
    kind = draft.spec.method.type
    if draft.hardware.gpu is None or draft["method.quantization"] != "none":
        return ()
    if kind in ("lora", "full"):
        return ({"method.type": "qlora"},)
    return ({"method.quantization": "nf4"},)


def shorten(draft: Draft) -> Sequence[Values]:
    """Cut rows shorter, down to where half of all tokens would be lost."""
    longest: int = draft["data.max_length"]
    if draft.lengths is not None:
        longest = min(longest, draft.lengths.longest)
    top = (longest - 1) // LENGTH_STEP * LENGTH_STEP
    lengths = range(top, SHORTEST - 1, -LENGTH_STEP)
    return [{"data.max_length": length} for length in lengths if kept_share(draft, length) >= KEPT]


RUNGS = (
    Rung("evaluation", evaluation, what="a smaller evaluation batch"),
    Rung("checkpointing", checkpointing, what="activations are computed twice, not kept"),
    Rung("batch", batch, what="a smaller micro-batch, more accumulation"),
    Rung("optimizer", optimizer, "optimizer", "the optimizer's moments in 8 bits"),
    Rung("quantize", quantize, "quantize", "the frozen base in 4 bits"),
    Rung("shorten", shorten, "shorten", "shorter rows"),
)


@dataclass(frozen=True, slots=True)
class Step:
    """A rung that was taken: what it set, and the drafts before and after."""

    rung: Rung
    values: Values
    before: Draft
    after: Draft


def climb(
    start: Draft, draft: Draft, decide: Decide, allowed: Sequence[str], *, sure: bool = False
) -> tuple[Step, ...]:
    """Return the rungs that make a draft fit, in their order; none where even all do not.

    start: the draft before the passes; decide: runs the passes. A rung is taken only where the
    ones before it were not enough, only where it saves something, and only as far as needed.
    Rungs that change what is learnt are for what does not fit, not for what is tight, unless it has
    to be `sure`.
    """
    steps: list[Step] = []
    given, first = start, draft
    if _memory(draft).verdict not in ("no", "tight"):
        return ()
    for rung in RUNGS:
        if rung.leave is not None and (
            rung.leave not in allowed or (_memory(draft).verdict == "tight" and not sure)
        ):
            continue
        step = _take(rung, start, draft, decide)
        if step is None:
            continue
        steps.append(step)
        start, draft = replace(start, spec=step.after.spec), step.after
        if _memory(draft).verdict == "fits":
            break
    if _memory(draft).verdict not in ("fits", "tight"):
        return ()
    return _needed(steps, given, first, decide)


def _needed(steps: Sequence[Step], start: Draft, first: Draft, decide: Decide) -> tuple[Step, ...]:
    """Leave out, the last first, what a rung that needed leave made needless."""
    kept = tuple(steps)
    if not any(step.rung.leave for step in steps):
        return kept
    for step in reversed(steps[:-1]):
        fewer = _again([one for one in kept if one.rung is not step.rung], start, first, decide)
        if _memory(fewer[-1].after).verdict == "fits":
            kept = fewer
    return kept


def _again(steps: Sequence[Step], start: Draft, before: Draft, decide: Decide) -> tuple[Step, ...]:
    """Take steps anew, one after the other."""
    taken: list[Step] = []
    for step in steps:
        start = replace(start, spec=with_values(start.spec, step.values))
        after = decide(start)
        taken.append(Step(step.rung, step.values, before, after))
        before = after
    return tuple(taken)


def _take(rung: Rung, start: Draft, draft: Draft, decide: Decide) -> Step | None:
    """Return the mildest option of a rung with the best verdict that it can give; None: no gain."""
    options = rung.options(draft)
    tried: dict[int, Draft] = {}

    def at(place: int) -> Draft:
        if place not in tried:
            tried[place] = decide(replace(start, spec=with_values(draft.spec, options[place])))
        return tried[place]

    if not options:
        return None
    low, high = 0, len(options) - 1
    best = RANKS[_memory(at(high)).verdict]
    while low < high:
        middle = (low + high) // 2
        enough = RANKS[_memory(at(middle)).verdict] >= best and best > RANKS["no"]
        low, high = (low, middle) if enough else (middle + 1, high)
    if _peak(at(low)) >= _peak(draft):
        return None
    return Step(rung, options[low], draft, at(low))


def changes(
    steps: Sequence[Step], given: Spec, rate: Callable[[Draft], float | None]
) -> list[Change]:
    """Return what the steps changed of a spec as it was given, each with what it saves and costs.

    What a later rung made needless is none. rate: tokens a second of a draft's plan, None where
    that is not predicted.
    """
    found: list[Change] = []
    last, before = steps[-1].after, steps[0].before
    for step in steps:
        paths = [path for path in step.values if _changed(path, step, given, last)]
        if not paths:
            continue
        reason = _reason(step, before, rate)
        before = step.after
        for path in paths:
            asked, planned = value_of(given, path), last[path]
            found.append(
                Change(path=path, asked=asked, planned=planned, rule=step.rung.name, reason=reason)
            )
    return found


def _changed(path: str, step: Step, given: Spec, last: Draft) -> bool:
    """Whether a spec says otherwise; of open values, those that wanted leave count."""
    asked = value_of(given, path)
    silent = asked is None and (step.rung.leave is None or path == "train.effective_batch")
    return not silent and last[path] != asked


def _reason(step: Step, before: Draft, rate: Callable[[Draft], float | None]) -> str:
    was, now = ((_memory(one).peak_bytes or 0) / 2**30 for one in (before, step.after))
    words = [f"{step.rung.what}: {was:.1f} -> {now:.1f} GiB"]
    slow, fast = rate(before), rate(step.after)
    if slow and fast and abs(fast - slow) > 0.01 * slow:
        words.append(f"{slow:,.0f} -> {fast:,.0f} tokens/s")
    if step.rung.name == "shorten":
        words.append(lost(step.after, step.values["data.max_length"]))
    elif step.rung.leave is None:
        words.append("what is learnt stays the same")
    return "; ".join(words)


def lost(draft: Draft, length: int) -> str:
    """Say how many rows a length cuts, and how many tokens are lost."""
    lengths = draft.lengths
    if lengths is None:
        return "how many rows are cut is not known"
    tokens = sum(max(0, tokens - length) for tokens in lengths.tokens)
    tokens = round(tokens * lengths.of_rows / len(lengths.tokens))
    rows = lengths.over(length)
    return f"{rows:,} of {lengths.of_rows:,} rows are cut, {tokens:,} tokens lost"


def kept_share(draft: Draft, length: int) -> float:
    """Return the share of all tokens that rows cut at a length keep; 1 where not known."""
    if draft.lengths is None:
        return 1.0
    tokens = draft.lengths.tokens
    return sum(min(count, length) for count in tokens) / max(1, sum(tokens))


def with_values(spec: Spec, values: Values) -> Spec:
    """Return a spec with some of its keys set; None opens one."""
    for path, value in values.items():
        section, _, key = path.partition(".")
        inner = getattr(spec, section).model_copy(update={key: value})
        spec = spec.model_copy(update={section: inner})
    return spec


def value_of(spec: Spec, path: str) -> Any:
    """Return what a spec says at a path; None where it is open."""
    section, _, key = path.partition(".")
    return getattr(getattr(spec, section), key)


def _memory(draft: Draft) -> MemoryPlan:
    memory: MemoryPlan = draft["memory"]
    return memory


def _peak(draft: Draft) -> float:
    peak = _memory(draft).high_bytes
    return math.inf if peak is None else peak
