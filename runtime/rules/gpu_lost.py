"""A card that does not answer any more.

What it finds
    A script that ended with the driver's words for it: fallen off the bus, lost, an uncorrectable
    memory error.

Why it matters
    No attempt on this card can succeed before it is reset, so none is made.

Evidence it needs
    The last lines that the script printed.

Example
    `CUDA error: uncorrectable ECC error encountered`

What to do
    `nvidia-smi -q` and the kernel's log (`dmesg | grep -i xid`) say what happened; reset the card
    or start again elsewhere: the run goes on from its newest checkpoint.

References
    NVIDIA, XID errors: 48, 79, 94, 95.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.runtime.rules.trouble import Trouble
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(seen: Trouble) -> Iterator[Finding]:
    """Yield the finding."""
    yield RULE.finding(
        "the card does not answer any more",
        found=seen.words.splitlines()[-1] if seen.words else "",
        help="look at `nvidia-smi -q`; reset it or take another, and run again: it goes on",
        confidence=0.9,
    )


RULE = Rule("FT316", "gpu-lost", Severity.ERROR, find)
