"""A log without a single loss.

What it finds
    Files that hold no training or held-out loss in a form that can be read.

Why it matters
    There is nothing to judge: either the run ended before its first log line, or nothing was
    logged, or the file is no training log.

Evidence it needs
    None.

Example
    ```
    {"event": "start", "total_steps": 60, …}
    {"event": "stop", "step": 1, "reason": "SIGTERM"}
    ```

What to do
    If the run was stopped before its first log line, see what stopped it. Else name the file that
    holds the losses.

References
    Formats that are read: `ftspec diagnose --help`.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.words import count
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

ENDS = ("out-of-memory", "stop", "end")


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for a log without a loss."""
    if any(r.loss is not None for r in run.train) or any(e.loss is not None for e in run.evals):
        return
    if run.format == "unknown":
        yield RULE.finding(
            "this is no training log of a known format",
            help="give a log that holds a loss a step, or the folder that holds one; the formats "
            "that are\nread: ftspec diagnose --help",
        )
        return
    unread = sum(not problem.is_note for problem in run.problems)
    ended = next((event for event in reversed(run.events) if event.kind in ENDS), None)
    found, help = "nothing was logged yet", "wait for the first log line, then look again"
    if ended:
        said = f": {ended.text}" if ended.text else ""
        found = f"the run ended before its first log line ({ended.kind}{said})"
        help = "see the run's own output for what stopped it"
    elif unread:
        found = f"{count(unread, 'place')} in it cannot be read"
        help = "name the file that holds the losses"
    yield RULE.finding(
        "the log holds no loss",
        found=found,
        help=help,
        evidence={"ended": ended.kind if ended else None, "problems": unread},
    )


RULE = Rule("FT408", "no-loss", Severity.ERROR, find)
