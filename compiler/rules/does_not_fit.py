"""A run that needs more memory than is free.

What it finds
    A predicted peak whose lower end is above the free memory of the card, after everything that
    may be changed without a question has been.

Why it matters
    The run would die of CUDA out of memory, at its first step or hours into it.

Evidence it needs
    The model's shape, the batch and the card.

Example
    Full fine-tuning of a 7B model on a card of 24 GiB.

What to do
    In this order: activation checkpointing, a smaller micro-batch with more accumulation,
    4-bit quantization (`method: qlora`), a shorter `data.max_length`; or a larger card. The first
    two are done by themselves (`tune.memory: auto`); the others change what is learnt and need
    leave: `--allow quantize`, `--allow shorten`, or `tune.allow` in the spec.

References
    The guide's order for running out of memory.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.compiler.tune.fit import Misfit
from ftspec.spec.edit import literal
from ftspec.spec.finding import Finding, Prescription, Severity
from ftspec.spec.rule import Rule

GIB = 2**30


def find(misfit: Misfit) -> Iterator[Finding]:
    """Yield the finding."""
    memory, hardware = misfit.memory, misfit.hardware
    if memory.verdict != "no" or memory.peak_bytes is None:
        return
    needed, free = memory.peak_bytes / GIB, memory.free_bytes / GIB
    where = hardware.gpu.name if hardware.gpu else "host memory"
    yield RULE.finding(
        f"needs {needed:.1f} GiB of {free:.1f} GiB free ({where}), at its peak in `{memory.phase}`",
        found=f"{needed - free:.1f} GiB too much",
        help="\n".join(ways(misfit)),
        evidence={"peak_bytes": memory.peak_bytes, "free_bytes": memory.free_bytes},
        prescriptions=misfit.prescriptions,
    )


def ways(misfit: Misfit) -> Iterator[str]:
    """Yield a line for each way out."""
    if misfit.left:
        yield f"try in this order: {', '.join(misfit.left)}"
        return
    for prescription, leaves in zip(misfit.prescriptions, misfit.leaves, strict=True):
        leave = f" (--allow {','.join(leaves)})" if leaves else ""
        yield f"it fits with {patched(prescription)}{leave}: {prescription.expect}"
    if not misfit.prescriptions:
        yield "nothing that ftspec may change makes it fit"
    card, model = misfit.instead.card, misfit.instead.model
    if card is not None:
        yield f"as it stands it fits on: {card.name} ({card.usable_bytes / GIB:.1f} GiB)"
    if model is not None:
        yield f"the largest model that fits here as it stands: {model.id} ({model.published})"


def patched(prescription: Prescription) -> str:
    """Return a patch in a few words: `method: qlora`, `data.max_length: 448`."""
    words = [f"`{edit.path}: {literal(edit.after)}`" for edit in prescription.patch]
    return " and ".join(words).replace("`method.type: ", "`method: ")


RULE = Rule("FT201", "does-not-fit", Severity.ERROR, find)
