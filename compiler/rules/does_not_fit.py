"""A run that needs more memory than is free.

What it finds
    A predicted peak whose lower end is above the free memory of the card.

Why it matters
    The run would die of CUDA out of memory, at its first step or hours into it.

Evidence it needs
    The model's shape, the batch and the card.

Example
    Full fine-tuning of a 7B model on a card of 24 GiB.

What to do
    In this order: activation checkpointing, a smaller micro-batch with more accumulation,
    4-bit quantization (`method: qlora`), a shorter `data.max_length`; or a larger card.

References
    The guide's order for running out of memory.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.compiler.facts.hardware import Hardware
from ftspec.compiler.plan import MemoryPlan
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

GIB = 2**30


def find(subject: tuple[MemoryPlan, Hardware, tuple[str, ...]]) -> Iterator[Finding]:
    """Yield the finding."""
    memory, hardware, ways = subject
    if memory.verdict != "no" or memory.peak_bytes is None:
        return
    needed, free = memory.peak_bytes / GIB, memory.free_bytes / GIB
    where = hardware.gpu.name if hardware.gpu else "host memory"
    yield RULE.finding(
        f"needs {needed:.1f} GiB of {free:.1f} GiB free ({where}), at its peak in `{memory.phase}`",
        found=f"{needed - free:.1f} GiB too much",
        help=f"try in this order: {', '.join(ways)}",
        evidence={"peak_bytes": memory.peak_bytes, "free_bytes": memory.free_bytes},
    )


RULE = Rule("FT201", "does-not-fit", Severity.ERROR, find)
