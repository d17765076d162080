"""A run that may or may not fit.

What it finds
    A predicted interval that holds the free memory of the card, after everything that may be
    changed without a question has been.

Why it matters
    It may run, or die of CUDA out of memory on the longest rows.

Evidence it needs
    The model's shape, the batch and the card.

Example
    A predicted peak of 23.1 GiB (21.4 to 25.0) on a card with 23.6 GiB free.

What to do
    Halve the micro-batch and double the accumulation, or turn checkpointing on; where that is
    done already, see what is left: `ftspec check` lists it. `ftspec check --measure` runs three
    steps on the card and tells.

References
    CONTRACT: what a prediction is.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.compiler.rules.does_not_fit import GIB, ways
from ftspec.compiler.tune.fit import Misfit
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(misfit: Misfit) -> Iterator[Finding]:
    """Yield the finding."""
    memory = misfit.memory
    if memory.verdict != "tight" or memory.low_bytes is None or memory.high_bytes is None:
        return
    low, high, free = (
        size / GIB for size in (memory.low_bytes, memory.high_bytes, memory.free_bytes)
    )
    lines = [*ways(misfit), "`ftspec check --measure` tells, in about a minute on that card"]
    yield RULE.finding(
        f"may not fit: needs {low:.1f} to {high:.1f} GiB of {free:.1f} GiB free",
        found="inside the prediction's interval",
        help="\n".join(lines),
        evidence={"low_bytes": memory.low_bytes, "high_bytes": memory.high_bytes},
        prescriptions=misfit.prescriptions,
    )


RULE = Rule("FT202", "tight", Severity.WARNING, find)
