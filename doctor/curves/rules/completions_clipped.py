"""Completions that are cut before they end.

What it finds
    In runs of reinforcement learning: in the last half, a median of 80 % or more of the
    completions that reach the length limit.

Why it matters
    What is rewarded is a torso: the answer that stands at the end is never seen, and never ending
    is what is learnt.

Evidence it needs
    10 records with `completions/clipped_ratio`.

Example
    `'completions/clipped_ratio': 0.97, 'completions/mean_length': 255.1` with a limit of 256.

What to do
    Allow longer completions, look whether the end-of-turn token is known to the generator, and
    give a small penalty for length.

References
    trl `GRPOConfig.max_completion_length`, `mask_truncated_completions`.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.doctor.curves.rules.rewards import logged
from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.statistics import median
from ftspec.doctor.curves.words import count, share, span
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

RECORDS = 10
MOST = 0.8


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for completions that are cut."""
    clipped = logged(run, "clipped_ratio")
    if not run.is_reinforcement or len(clipped) < RECORDS:
        return
    half = len(clipped) // 2
    level = median(clipped.values[half:])
    if level < MOST:
        return
    length = logged(run, "completion_length").values
    long = f", {median(length[len(length) // 2 :]):,.0f} tokens long" if length else ""
    yield RULE.finding(
        f"{share(level)} of the completions are cut at the length limit",
        found=f"median of the last half of {count(len(clipped), 'record')}{long}",
        help="allow longer completions; look whether the end-of-turn token is known",
        evidence={
            "steps": span(run.judged, clipped.places[half], clipped.places[-1]),
            "share": level,
            "threshold": MOST,
        },
        confidence=0.8,
    )


RULE = Rule("FT437", "completions-clipped", Severity.WARNING, find)
