"""Remedies that change how many rows make a step."""

from __future__ import annotations

from ftspec.doctor.curves.words import share
from ftspec.doctor.prescriptions.case import Case, advice
from ftspec.spec.finding import Edit, Finding, Prescription


def larger_batch(finding: Finding, case: Case) -> list[Prescription]:
    """Twice the effective batch, or four times where the noise is double what it should be."""
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


def counted_twice(finding: Finding, case: Case) -> list[Prescription]:
    """The library's fault: another version; until then a micro-batch that is the whole batch."""
    reason = (
        "upgrade transformers to a version that holds its pull request 35438, and pin it: earlier "
        "ones sum the loss over accumulation steps"
    )
    expect = "training loss beside held-out loss, and a gradient norm smaller by the same factor"
    refuted = "the factor stays without accumulation: then the loss is a sum over something else"
    micro = case.written("train.batch_size") or case.planned.micro_batch
    steps = case.written("train.gradient_accumulation") or case.planned.accumulation
    if not micro or not steps or steps < 2:
        return [advice(reason, expect, refuted)]
    patch = (
        case.edit("train.gradient_accumulation", 1, case.planned.accumulation),
        case.edit("train.batch_size", micro * steps, case.planned.micro_batch),
    )
    return [Prescription(patch, f"{reason}; until then do not accumulate", expect, refuted)]
