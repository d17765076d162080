"""Remedies for logs that say too little, and for rewards."""

from __future__ import annotations

from ftspec.doctor.curves.statistics import median
from ftspec.doctor.prescriptions.case import Case, advice
from ftspec.spec.finding import Finding, Prescription


def log_more(finding: Finding, case: Case) -> list[Prescription]:
    """About 50 records a run."""
    steps = [step for step in case.run.column("step") if step is not None]
    gaps = [b - a for a, b in zip(steps, steps[1:], strict=False)]
    if not gaps or finding.evidence["losses"] >= max(finding.evidence["needs"].values()):
        return []
    total = case.planned.max_steps or steps[-1]
    to, now = max(1, int(total) // 50), int(median(gaps))
    if to >= now:
        return []
    reason = "log more often: a run wants about 50 records to be judged"
    return [Prescription((case.edit("train.logging_steps", to, now),), reason)]


def no_spread(finding: Finding, case: Case) -> list[Prescription]:
    """Another reward, or other prompts. Source: modelscope/ms-swift#4547."""
    return [
        advice(
            "rewards with partial credit, more generations a prompt, a higher temperature; leave "
            "out prompts that are always or never solved",
            "the share of groups without spread falls under a half",
            "it stays: then the prompts are all too easy or too hard",
        )
    ]


def cut_completions(finding: Finding, case: Case) -> list[Prescription]:
    """Room to end."""
    return [
        advice(
            "twice the longest completion; look whether the end-of-turn token ends a generation",
            "fewer than a tenth are cut",
            "they fill the new limit too: then nothing rewards ending",
        )
    ]
