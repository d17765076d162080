"""From findings to prescriptions: the guide's remedies, made quantitative by the evidence.

A prescription is a patch of the spec. Findings that ask for opposite things are resolved: the
graver one is treated, and the others say that they wait for it. A key is prescribed once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ftspec.doctor.curves.series import Planned, Run
from ftspec.doctor.curves.statistics import median
from ftspec.doctor.curves.words import figure, share
from ftspec.spec.edit import number
from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.model import Spec

# A finding waits where one of these was found too: the remedy would be the opposite, or the
# curve cannot be trusted to show the milder fault.
WAITS_FOR = {
    "diverges": ("nan",),
    "spikes": ("nan", "diverges"),
    "oscillates": ("nan", "diverges", "spikes"),
    "flat": ("nan", "diverges", "spikes", "oscillates"),
    "overfits": ("nan", "diverges"),
}

# Learning rates by method: usual to start with, and the highest that is worth a try.
# Adapters: the guide's 2e-4. Full: Alpaca's 2e-5. Prefix and prompt: Li and Liang 2021 (5e-5 to
# 5e-2 for reparametrized prefixes), Lester et al. 2021 (0.3 for prompts).
USUAL_RATE = {"full": 2e-5, "lora": 2e-4, "qlora": 2e-4, "prefix": 1e-2, "prompt": 3e-2}
HIGHEST_RATE = {"full": 1e-4, "lora": 2e-3, "qlora": 2e-3, "prefix": 1e-1, "prompt": 0.5}
UNKNOWN_USUAL, UNKNOWN_HIGHEST = 2e-4, 2e-3
RUNAWAY = 10  # nan, diverges: haotian-liu/LLaVA#1301 and #1375 were cured by it
SPIKES = 5  # the guide's
FLAT = 10  # the guide's
OVERFITS = 2


@dataclass(frozen=True, slots=True)
class Case:
    """What a remedy is worked out from: the run, and the spec it came from where it is known."""

    run: Run
    spec: Spec | None = None
    flat_form: bool = False

    @property
    def planned(self) -> Planned:
        """What the log says of the plan."""
        return self.run.planned or Planned()

    @property
    def method(self) -> str | None:
        """The spec's method, if there is a spec."""
        return self.spec.method.type if self.spec else None

    @property
    def rate(self) -> float | None:
        """The peak learning rate that the run had, else the spec's."""
        return self.run.peak_learning_rate or self.written("train.learning_rate")

    def written(self, path: str) -> Any:
        """Return what the spec says at a path; None where it leaves the key open."""
        value: Any = self.spec
        for key in path.split("."):
            value = getattr(value, key, None)
        return value

    def edit(self, path: str, after: Any, planned: Any = None) -> Edit:
        """Make an edit from what the spec says, else from what was planned."""
        before = self.written(path)
        return Edit(path, planned if before is None else before, after)


def prescribe(
    findings: Sequence[Finding], run: Run, spec: Spec | None = None, flat_form: bool = False
) -> tuple[Finding, ...]:
    """Return the findings with their prescriptions, best first, contradictions resolved."""
    case = Case(run, spec, flat_form)
    grave = {item.name for item in findings if item.severity.at_least(Severity.WARNING)}
    taken: set[str] = set()
    answered: dict[str, Finding] = {}
    for finding in sorted(findings, key=lambda item: _rank(item.name)):
        ahead = [name for name in WAITS_FOR.get(finding.name, ()) if name in grave]
        if ahead:
            wait = f"deal with `{ahead[0]}` first, then judge this again on the next run"
            answered[finding.name] = replace(finding, help=wait, prescriptions=())
            continue
        remedies = []
        for remedy in _remedies(finding, case, grave):
            paths = {edit.path for edit in remedy.patch}
            if not paths & taken:
                remedies.append(remedy)
                taken |= paths
        answered[finding.name] = replace(finding, prescriptions=tuple(remedies))
    return tuple(answered.get(item.name, item) for item in findings)


def _rank(name: str) -> int:
    order = ("nan", *WAITS_FOR)
    return order.index(name) if name in order else len(order)


def _remedies(finding: Finding, case: Case, grave: set[str]) -> list[Prescription]:
    mild = finding.severity is Severity.INFO
    match finding.name:
        case "nan" | "diverges":
            reached = case.run.rate_reached(finding.evidence["steps"][0])
            return _lower_rate(case, RUNAWAY, "the loss stays finite and falls", reached)
        case "spikes" if not mild:
            return _lower_rate(case, SPIKES, "no spikes, and a loss that falls a little slower")
        case "flat":
            return _raise_rate(case)
        case "oscillates" if not mild:
            return _larger_batch(case, finding)
        case "overfits":
            return _regularize(case, finding)
        case "too-short" if not grave:
            return _log_more(case, finding)
    return []


def _lower_rate(
    case: Case, by: int, expect: str, reached: float | None = None
) -> list[Prescription]:
    """Divide the rate; where it went wrong in warm-up, below half of what was reached by then."""
    rate = case.rate
    refuted = "it happens again at the same rows: then it is the data, not the rate"
    if rate is None:
        reason = f"divide the learning rate by {by}; the log does not say what it was"
        return [Prescription((), reason, expect, refuted)]
    highest = HIGHEST_RATE.get(case.method or "", UNKNOWN_HIGHEST)
    usual = USUAL_RATE.get(case.method or "", UNKNOWN_USUAL)
    to, reason = _rounded(_rounded(rate) / by), f"divide the learning rate by {by}"
    # a log without a spec does not tell the method: prompts are tuned at up to 0.3
    if to > highest and (case.method or rate > 0.5):
        to = usual
        reason = f"{number(rate)} is no usual learning rate; {number(usual)} is one to start with"
    if reached and to > reached / 2:
        to = _rounded(reached / 2)
        reason = (
            f"it went wrong at {number(_rounded(reached))}, in warm-up: stay below half of that"
        )
    written = case.written("train.learning_rate")
    if written is not None and written <= to:
        reason = f"the spec's learning rate is already down to {number(written)}: run it"
        return [Prescription((), reason, expect, refuted)]
    return [Prescription((case.edit("train.learning_rate", to, rate),), reason, expect, refuted)]


def _raise_rate(case: Case) -> list[Prescription]:
    rate = case.rate
    expect = "the loss falls by more than 2 % within the first fifth of the run"
    refuted = "it is as flat as before: then look at masked answers and frozen adapters"
    if rate is None:
        reason = f"multiply the learning rate by {FLAT}; the log does not say what it was"
        return [Prescription((), reason, expect, refuted)]
    highest = HIGHEST_RATE.get(case.method or "", UNKNOWN_HIGHEST)
    to = _rounded(min(_rounded(rate) * FLAT, highest))
    if to < 2 * rate:
        reason = (
            f"the learning rate, {number(rate)}, is high already and no cause: look whether the "
            "adapter is trainable and the answers are not masked"
        )
        return [Prescription((), reason)]
    by = number(_rounded(to / _rounded(rate)))
    reason = f"multiply the learning rate by {by}"
    if to < _rounded(rate) * FLAT:
        reason += f": {number(to)} is the highest worth a try"
    return [Prescription((case.edit("train.learning_rate", to, rate),), reason, expect, refuted)]


def _larger_batch(case: Case, finding: Finding) -> list[Prescription]:
    scatter, limit = finding.evidence["scatter"], finding.evidence["threshold"]
    by = 4 if scatter >= 2 * limit else 2
    expect = f"the swings shrink to about {share(scatter / by**0.5)}; {by} times fewer steps"
    refuted = "they do not shrink: then the learning rate is too high for any batch"
    reason = f"make the effective batch {by} times as large: noise falls with its square root"
    accumulation = case.written("train.gradient_accumulation") or case.planned.accumulation
    batch = case.written("train.effective_batch") or case.planned.effective_batch
    patch: list[Edit] = []
    explicit = case.written("train.gradient_accumulation") is not None or case.flat_form
    if accumulation and explicit:
        path = "train.gradient_accumulation"
        patch.append(case.edit(path, accumulation * by, case.planned.accumulation))
    if batch and (not explicit or case.written("train.effective_batch") is not None):
        path = "train.effective_batch"
        patch.append(case.edit(path, batch * by, case.planned.effective_batch))
    return [Prescription(tuple(patch), reason, expect, refuted)]


def _regularize(case: Case, finding: Finding) -> list[Prescription]:
    """Return the guide's five, in its order, without those that the spec rules out."""
    found = [
        _fewer_epochs(case, finding),
        _more_dropout(case),
        Prescription(
            (),
            "more data: rows of the kinds that are rare now, not copies of those that are there",
            "the lowest held-out loss is lower, and comes later",
            "it is as low as before: then the new rows say nothing new",
        ),
        _slower(case),
        _stop_early(case),
    ]
    return [remedy for remedy in found if remedy is not None]


def _fewer_epochs(case: Case, finding: Finding) -> Prescription | None:
    best, step = finding.evidence["best_epoch"], finding.evidence["best_step"]
    where = f"held-out loss was lowest, {figure(finding.evidence['best_loss'])},"
    expect = f"a final held-out loss near {figure(finding.evidence['best_loss'])}"
    refuted = "held-out loss is lowest before the end again, at the same number of steps"
    if case.written("train.max_steps") is not None and step:
        edit = case.edit("train.max_steps", int(step))
        return Prescription((edit,), f"stop where {where} at step {step:.0f}", expect, refuted)
    last = max((e.epoch for e in case.run.held_out if e.epoch is not None), default=None)
    now = case.written("train.epochs") or case.planned.epochs or last
    if best is None or now is None:
        return Prescription((), f"train for fewer epochs: {where} at step {step}", expect, refuted)
    to = epochs_for(best)
    if to >= now:
        if last is None or last <= to:
            return None
        reason = f"the spec is down to {number(now)} epochs already: run it; {where} at {best:.2f}"
        return Prescription((), reason, expect, refuted)
    edit = case.edit("train.epochs", to, case.planned.epochs or last)
    return Prescription((edit,), f"stop where {where} at epoch {best:.2f}", expect, refuted)


def epochs_for(best: float) -> float:
    """Return the epochs to train for, when the best evaluation was at epoch `best`.

    Halves from there up, tenths below a half: the learning rate's course is stretched over what
    is asked, so finer steps mean nothing.
    """
    grain = 0.5 if best > 0.45 else 0.1
    return max(grain, round(math.ceil((best - 0.05) / grain) * grain, 1))


def _more_dropout(case: Case) -> Prescription | None:
    if case.method not in (None, "lora", "qlora"):
        return None
    now = case.written("method.dropout")
    to = 0.1 if now is None or now < 0.1 else 0.2
    if now is not None and now >= to:
        return None
    return Prescription(
        (case.edit("method.dropout", to),),
        f"more dropout: {to}",
        "held-out loss turns later",
        "it turns at the same step",
    )


def _slower(case: Case) -> Prescription | None:
    rate = case.rate
    if rate is None:
        return None
    to = _rounded(rate / OVERFITS)
    return Prescription(
        (case.edit("train.learning_rate", to, rate),),
        "halve the learning rate",
        "held-out loss turns later and lower",
        "its lowest point is no lower",
    )


def _stop_early(case: Case) -> Prescription | None:
    if case.written("train.early_stopping"):
        return None
    return Prescription(
        (case.edit("train.early_stopping", True),),
        "stop by itself once held-out loss has not improved for three evaluations",
        "the run ends near its lowest held-out loss and keeps that checkpoint",
        "it stops while held-out loss would still have fallen: then raise the patience",
    )


def _log_more(case: Case, finding: Finding) -> list[Prescription]:
    steps = [record.step for record in case.run.judged if record.step is not None]
    gaps = [b - a for a, b in zip(steps, steps[1:], strict=False)]
    if not gaps or finding.evidence["losses"] >= max(finding.evidence["needs"].values()):
        return []
    total = case.planned.max_steps or steps[-1]
    to, now = max(1, int(total) // 50), int(median(gaps))
    if to >= now:
        return []
    reason = "log more often: a run wants about 50 records to be judged"
    return [Prescription((case.edit("train.logging_steps", to, now),), reason)]


def _rounded(rate: float) -> float:
    """Round to two digits, or to one that is within 3 %: logs show 4.94e-5 of a peak of 5e-5."""
    one = float(f"{rate:.1g}")
    return one if abs(one - rate) <= 0.03 * rate else float(f"{rate:.2g}")
