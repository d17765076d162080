"""A run that makes no progress.

What it finds
    A training script that gives no sign of life for ten minutes and for twenty times its longest
    pause so far; while it loads, one that prints nothing for an hour.

Why it matters
    A rank that waits for another that died, or a file system that does not answer, waits for
    days, and the card is paid for meanwhile.

Evidence it needs
    The file `alive` of the run, which train.py touches every few seconds with each batch, and its
    log.

Example
    A step every 8 s, then nothing for ten minutes.

What to do
    Look at the stacks at the end of `train.log`: the script was asked to print them. `run.on_hang:
    retry` goes on from the newest checkpoint, `continue` waits.

References
    `faulthandler`, Python's own; docs/running.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.runtime.rules.trouble import Trouble
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(seen: Trouble) -> Iterator[Finding]:
    """Yield the finding."""
    if seen.quiet > seen.limit:
        yield RULE.finding(
            f"no sign of life for {seen.quiet:,.0f} s in phase {seen.phase}",
            route=("run", "on_hang"),
            found=f"waited for {seen.limit:,.0f} s",
            help="the end of train.log shows where it stands",
            evidence={"seconds": round(seen.quiet), "phase": seen.phase},
            confidence=0.9,
        )


RULE = Rule("FT313", "hangs", Severity.ERROR, find)
