"""A disk without room for the next checkpoint.

What it finds
    Before a run: less free than one checkpoint needs (an error), or less than all that are kept
    and the final weights need (a warning). Before each save: the same, measured by train.py.

Why it matters
    Half a checkpoint is worth nothing, and a full disk takes the log with it.

Evidence it needs
    The plan's trained weights, or the size of the newest checkpoint; what the file system has
    free.

Example
    `a checkpoint needs 26.5 GiB, and 3.1 GiB are free`

What to do
    Free the space, or lower `train.save_limit`; run again, and it goes on.

References
    Three times the trained weights: themselves and AdamW's two moments (docs/memory.md).
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.runtime.rules.trouble import Trouble
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

GIB = 2**30


def find(seen: Trouble) -> Iterator[Finding]:
    """Yield the finding."""
    needs, severity = 0, Severity.ERROR
    one, every, free = seen.checkpoint, seen.all_checkpoints, seen.free
    if one is not None and free < one:
        needs, what = one, "a checkpoint needs"
    elif every is not None and free < every:
        needs, what, severity = every, "the run's checkpoints need", Severity.WARNING
    if needs:
        yield RULE.finding(
            f"{what} {needs / GIB:.2f} GiB, and {free / GIB:.2f} GiB are free",
            route=("train", "save_limit"),
            help="free the space, or lower train.save_limit; what was saved stays",
            evidence={"need_bytes": needs, "free_bytes": free},
            severity=severity,
        )


RULE = Rule("FT314", "disk-fills", Severity.ERROR, find)
