"""A checkpoint that is passed over: it is not whole, or not as it was written.

What it finds
    A checkpoint without its manifest (its writing was cut off), or with files whose size or hash
    is not what the manifest says.

Why it matters
    Weights that are half old and half new train on without an error.

Evidence it needs
    `manifest.json` of the checkpoint, which is written last and holds the SHA-256 of each file.

Example
    `checkpoint-300 is passed over: optimizer.pt is not as it was written`

What to do
    Nothing: the run goes on from the newest one that is whole. If files change by themselves, look
    at the disk.

References
    docs/running.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.runtime.rules.trouble import Trouble
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(seen: Trouble) -> Iterator[Finding]:
    """Yield the finding."""
    yield RULE.finding(
        f"{seen.path} is passed over: {seen.why}",
        help="the run goes on from the newest checkpoint that is whole",
        evidence={"path": seen.path, "why": seen.why},
    )


RULE = Rule("FT315", "checkpoint-not-whole", Severity.WARNING, find)
