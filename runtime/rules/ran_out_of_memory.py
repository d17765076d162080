"""Memory ran out while a project ran.

What it finds
    Attempts that ended with exit code 76, or that the kernel ended for want of host memory.

Why it matters
    What was done since the last checkpoint is lost, and as it is, the run dies there again.

Evidence it needs
    The exit code or the kernel's count of such kills, the phase that the script was in, and what
    was predicted and measured.

Example
    `out of GPU memory in phase train, at step 500`: a batch of the longest rows came late.

What to do
    Nothing, where `run.on_oom` is `retry` (the default): the next rung is taken, and the run goes
    on from its newest whole checkpoint. Rungs that change what is learnt need `tune.allow`.

References
    CONTRACT.md 2 and 4; docs/running.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.runtime.rules.trouble import Trouble
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

GIB = 2**30


def find(seen: Trouble) -> Iterator[Finding]:
    """Yield the finding."""
    at = f", after step {seen.step}" if seen.step else ""
    told = [
        f"{words} {value / GIB:.2f} GiB"
        for words, value in (("predicted", seen.predicted), ("measured", seen.measured))
        if value
    ]
    yield RULE.finding(
        f"out of {seen.where} memory in phase {seen.phase}{at}",
        route=("run", "on_oom"),
        found=", ".join(told),
        evidence={
            "where": seen.where,
            "phase": seen.phase,
            "step": seen.step,
            "predicted_bytes": seen.predicted,
            "measured_bytes": seen.measured,
        },
    )


RULE = Rule("FT310", "ran-out-of-memory", Severity.WARNING, find)
