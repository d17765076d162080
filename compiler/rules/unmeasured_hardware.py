"""An accelerator on whose kind nothing was measured.

What it finds
    An AMD, Intel or Apple accelerator on a machine without an NVIDIA card, where the spec names
    no other hardware.

Why it matters
    It is not used. Memory and speed are predicted for NVIDIA's cards alone, and only there were
    predictions held against measured runs. The plan is for the CPU, and so are its scripts.

Evidence it needs
    What the system tells of its graphics devices: on Linux /sys/class/drm, on macOS the chip.

Example
    `ftspec check train.yaml` on a machine with an AMD Instinct MI300X.

What to do
    Ask about the card that the run will have: `--gpu NAME`. Its scripts run on `cuda`, as
    PyTorch's build for AMD calls its devices too; that was not tried.

References
    The Linux kernel's documentation of amdgpu, "memory information" (mem_info_vram_total).
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.compiler.draft import Draft
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(draft: Draft) -> Iterator[Finding]:
    """Yield the finding."""
    here = draft.hardware
    if not here.detected or here.cards or not here.unmeasured:
        return
    yield RULE.finding(
        f"nothing was measured on {', '.join(here.unmeasured)}: the plan is for the CPU",
        found="predictions are for NVIDIA's cards",
        help="to ask about a machine with such a card: --gpu NAME",
        evidence={"found": list(here.unmeasured)},
    )


RULE = Rule("FT190", "unmeasured-hardware", Severity.INFO, find)
