"""The allocated peak of a tape without playing every block: for the planner, which asks often.

In each segment the peak is linear in the number of blocks. So two short models are played, and
each segment's peak is carried on to the real number of blocks.
"""

from __future__ import annotations

from ftspec.compiler.memory.optimizers import OPTIMIZERS
from ftspec.compiler.memory.peaks import Peaks, setting_of
from ftspec.compiler.memory.replay import PHASE, UNIT
from ftspec.compiler.memory.simulate import Setting, parameters
from ftspec.compiler.memory.sizes import sizes
from ftspec.compiler.memory.tape import Player, Tape
from ftspec.compiler.memory.trace.cards import Capability
from ftspec.compiler.memory.work import Work

SHORT, LONGER = 5, 6  # blocks of the two models that are played
# What the allocator is taken to reserve beyond what is allocated: a guess for the planner alone (up
# to 0.21 was measured), which replays wherever a batch takes more than 3/4 of what is free.
RESERVED_SHARE = 0.05


def quick_peaks(tape: Tape, work: Work, capability: Capability) -> Peaks:
    """Return the allocated peaks; what is reserved is taken to be a little more.

    The copies through which quantized weights are loaded are left out: training needs more.
    """
    card = tuple(capability)
    plain = sizes(tape, work, work.batch, card)
    known = [_round(size) for size in plain]
    setting = setting_of(work, capability)
    held = _held(tape, known, setting)
    states, step, gradients = _optimizer(tape, plain, work)
    resting = held + states
    peaks = {"load": held, "optimizer": resting + gradients + step}
    first = _pass_peak(tape, known, "first", setting.layers)
    peaks["train"] = resting + first
    if work.accumulation > 1 and "more" in tape.passes:
        more = _pass_peak(tape, known, "more", setting.layers)
        peaks["train"] = max(peaks["train"], resting + gradients + more)
    if work.eval_batch:
        plain = sizes(tape, work.evaluated, work.eval_batch, card, training=False)
        evaluation = [_round(size) for size in plain]
        peaks["evaluate"] = resting + _pass_peak(tape, evaluation, "evaluate", setting.layers)
    moment = max(peaks, key=lambda name: peaks[name])
    allocated = peaks[moment]
    phases = {name: (size, size) for name, size in peaks.items()}
    phases["backward"] = phases.pop("train")
    names = {"train": "backward"}
    reserved = round(allocated * (1 + RESERVED_SHARE))
    parts = {"base_weights": held, "gradients": gradients, "optimizer": states}
    return Peaks(allocated, reserved, phases, parts, names.get(moment, moment), 0)


def _round(size: int) -> int:
    return -(-size // UNIT) * UNIT


def _held(tape: Tape, known: list[int], setting: Setting) -> int:
    base = sum(known[one.size] * (setting.layers if one.each_block else 1) for one in tape.base)
    biased = sum(name.endswith("biased") for name in tape.workspaces)
    plain = len(tape.workspaces) - biased
    inputs = sum(_round(size) for size in setting.inputs) * setting.accumulation
    workspaces = plain * setting.workspace + biased * setting.biased_workspace
    return base + workspaces + inputs


def _optimizer(tape: Tape, plain: list[int], work: Work) -> tuple[int, int, int]:
    """Return the bytes of states, of what a step needs beside them, and of gradients.

    plain: the tape's sizes as they are, since parameters' shapes are counts and not blocks.
    """
    every = parameters(tape, plain, work.shape.layers)
    needs = [OPTIMIZERS[work.optimizer](p) for p in every]
    states = sum(_round(size) for need in needs for size in need.state)
    passing = max((sum(map(_round, need.passing)) for need in needs), default=0)
    during = sum(_round(size) for need in needs for size in need.during)
    gradients = sum(_round(p.elements * p.bytes_each) for p in every)
    return states, max(passing, during), gradients


def _pass_peak(tape: Tape, known: list[int], name: str, layers: int) -> int:
    """Return how far a pass rises over what lay there before it."""
    if layers <= LONGER:
        return max(_segment_peaks(tape, known, name, layers).values())
    short = _segment_peaks(tape, known, name, SHORT)
    longer = _segment_peaks(tape, known, name, LONGER)
    further = layers - SHORT
    return max(short[at] + further * (longer[at] - short[at]) for at in short)


def _segment_peaks(tape: Tape, known: list[int], name: str, layers: int) -> dict[str, int]:
    player = Player(tape, known, layers)
    alive: dict[int, int] = {}
    current, at = 0, ""
    found: dict[str, int] = {}
    for key, size in player.play(name, marks=True)[0]:
        if key == PHASE:
            at = size
            found[at] = max(found.get(at, 0), current)
        elif size >= 0:
            alive[key] = size
            current += size
            found[at] = max(found[at], current)
        else:
            current -= alive.pop(key)
    return found
