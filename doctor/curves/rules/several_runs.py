"""More than one run in one log.

What it finds
    Logs whose steps go back to the beginning, with other losses than stood there. Where the log
    itself says that a run was started anew, it is information.

Why it matters
    A curve over several runs shows faults that none of them has, and hides those that one has.

Evidence it needs
    Steps, or epochs.

Example
    ```
    step 3,740: 0.021   step 3,750: 0.019   step 10: 4.41   step 20: 4.22
    ```

What to do
    Give each run a file of its own. The longest run is judged here, of two alike the later.

References
    7 of 261 real logs held several runs.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.words import at, count
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for a log of several runs."""
    again = [part for part in run.segments if part.kind == "restarted"]
    if not again:
        return
    said = {event.at for event in run.events if event.kind == "start"}
    unsaid = [part for part in again if part.start not in said]
    judged = run.judged
    span = f"{at(judged, 0)} to {at(judged, len(judged) - 1).removeprefix('step ')}"
    yield RULE.finding(
        f"the log holds {count(len(again) + 1, 'run')}: it starts again at "
        + ", ".join(f"record {part.start + 1:,}" for part in again[:3])
        + (", …" if len(again) > 3 else ""),
        found=f"judged is one of them, {count(len(judged), 'record')}: {span}",
        help="give each run a file of its own",
        evidence={
            "runs": len(again) + 1,
            "starts": [part.start + 1 for part in again[:20]],
            "logged": len(again) - len(unsaid),
        },
        confidence=0.95,
        severity=Severity.WARNING if unsaid else Severity.INFO,
    )


RULE = Rule("FT428", "several-runs", Severity.WARNING, find)
