"""From findings to prescriptions: the guide's remedies, made quantitative by the evidence.

A prescription is a patch of the spec. Findings that ask for opposite things are resolved: the
graver one is treated, and the others say that they wait for it. A key is prescribed once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ftspec.doctor.curves.rules.causes import causes
from ftspec.doctor.curves.series import Run
from ftspec.doctor.prescriptions import batch, memory, numbers, overfitting, rates, records
from ftspec.doctor.prescriptions.case import Case
from ftspec.doctor.prescriptions.overfitting import epochs_for
from ftspec.spec.finding import Finding, Prescription, Severity
from ftspec.spec.model import Spec

__all__ = ["epochs_for", "prescribe"]

Remedy = Callable[[Finding, Case], list[Prescription]]

# In the order in which they are treated: a key goes to the first that asks for it.
REMEDIES: Mapping[str, Remedy] = {
    "oom": memory.ladder,
    "nan": numbers.not_finite,
    "zero-loss": numbers.nothing_counted,
    "lr-zero": rates.zero_rate,
    "diverges": numbers.diverges,
    "rl-collapse": rates.policy_collapses,
    "dead-gradient": numbers.not_wired,
    "resume-discontinuity": numbers.resume_whole,
    "lr-too-high": rates.runs_away,
    "grad-explosion": rates.gradients_grow,
    "grad-nan": numbers.gradient_not_finite,
    "loss-scale": batch.counted_twice,
    "scale-mismatch": batch.counted_twice,
    "spikes": rates.spikes,
    "oscillates": batch.larger_batch,
    "chance-level": rates.at_chance,
    "flat": rates.flat,
    "grad-vanishing": numbers.vanishing,
    "overfits": overfitting.regularize,
    "suspicious-low": numbers.leaked,
    "memorises": overfitting.by_heart,
    "overfits-mild": overfitting.regularize,
    "early-stop-missed": overfitting.stop_sooner,
    "plateau": rates.plateau,
    "lr-schedule": rates.schedule,
    "no-reward-variance": records.no_spread,
    "completions-clipped": records.cut_completions,
    "reward-flat": rates.reward_flat,
    "no-warmup": rates.no_warmup,
    "underfits": overfitting.train_longer,
    "no-eval": overfitting.evaluate,
    "too-short": records.log_more,
}

RUNAWAYS = ("nan", "diverges", "grad-explosion")
# A finding waits where one of these was found too: the remedy would be the opposite, or the
# curve cannot be trusted to show the milder fault.
WAITS_FOR: Mapping[str, tuple[str, ...]] = {
    "diverges": ("nan",),
    "lr-too-high": ("nan", "diverges"),
    "chance-level": ("nan", "diverges"),
    "grad-explosion": ("nan", "diverges"),
    "spikes": RUNAWAYS,
    "oscillates": ("oom", *RUNAWAYS, "spikes"),
    "flat": (*RUNAWAYS, "spikes", "oscillates", "loss-scale"),
    "plateau": (*RUNAWAYS, "spikes", "oscillates", "overfits", "overfits-mild", "memorises"),
    "overfits": ("nan", "diverges"),
    "overfits-mild": RUNAWAYS,
    "reward-flat": ("rl-collapse", "no-reward-variance"),
}
# Information asks for no change, but these: they say what would make the run better or clearer.
ALSO_AS_INFORMATION = (
    *("overfits", "overfits-mild", "no-warmup", "no-eval", "too-short", "underfits"),
    "lr-schedule",
)


def prescribe(
    findings: Sequence[Finding], run: Run, spec: Spec | None = None, flat_form: bool = False
) -> tuple[Finding, ...]:
    """Return the findings that no other explains, with their prescriptions, best first.

    Contradictions are resolved here: by WAITS_FOR, and by giving each key to one finding.
    """
    kept = causes(findings)
    case = Case(run, spec, flat_form)
    grave = {item.name for item in kept if item.severity.at_least(Severity.WARNING)}
    taken: set[str] = set()
    answered: dict[str, Finding] = {}
    for finding in sorted(kept, key=lambda item: _rank(item.name)):
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
    return tuple(answered.get(item.name, item) for item in kept)


def _rank(name: str) -> int:
    order = list(REMEDIES)
    return order.index(name) if name in order else len(order)


def _remedies(finding: Finding, case: Case, grave: set[str]) -> list[Prescription]:
    remedy = REMEDIES.get(finding.name)
    if remedy is None:
        return []
    if finding.severity is Severity.INFO and (
        finding.name not in ALSO_AS_INFORMATION or (finding.name == "too-short" and grave)
    ):
        return []
    return remedy(finding, case)
