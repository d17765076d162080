"""A run that did not come to its end.

What it finds
    Logs that end with an interrupt, a signal, a kill or a traceback; and logs that stop more than
    5 % before the planned number of steps without having said that they finished.

Why it matters
    What is judged is a part of the run: the learning rate had not come down yet, and the last
    checkpoint may be older than the last record.

Evidence it needs
    An event in the log, or the planned number of steps.

Example
    ```
    step 4,500 of 11,400   …   KeyboardInterrupt
    ```

What to do
    Resume from the last checkpoint. A run that was stopped early on purpose, or that is still
    running, needs nothing.

References
    Out of memory is a finding of its own (FT433). `killed` without a traceback is mostly the
    kernel's, for host memory: see `dmesg`.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.doctor.curves.series import Event, Run
from ftspec.doctor.curves.words import share
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

SHORT = 0.05  # of the planned steps
WORDS = {
    "stop": "was interrupted",
    "killed": "was killed",
    "error": "ended with an error",
}


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for a run that did not come to its end."""
    kinds = [event for event in run.events if event.kind in (*WORDS, "out-of-memory", "end")]
    last = kinds[-1] if kinds else None
    if last and last.kind in WORDS and last.at >= len(run.train):
        yield _ended(run, last)
        return
    planned = run.planned.max_steps if run.planned else None
    steps = [step for step in run.column("step") if step is not None]
    if last or not planned or not steps or steps[-1] >= (1 - SHORT) * planned:
        return
    yield RULE.finding(
        f"the log ends at step {steps[-1]:,.0f} of {planned:,}",
        found=f"{share(steps[-1] / planned)} of the plan; it does not say why",
        help="resume from the last checkpoint, unless it was stopped on purpose or still runs",
        evidence={"step": steps[-1], "planned": planned, "kind": None, "threshold": SHORT},
        confidence=0.5,
    )


def _ended(run: Run, event: Event) -> Finding:
    where = f" at step {event.step:,.0f}" if event.step is not None else ""
    text = event.text.strip()[:160]
    return RULE.finding(
        f"the run {WORDS[event.kind]}{where}",
        found=text or (f"line {event.line:,}" if event.line else ""),
        help="resume from the last checkpoint"
        if run.losses
        else "see the lines before it for what happened; nothing was trained",
        evidence={"kind": event.kind, "step": event.step, "line": event.line, "text": text},
        confidence=0.9,
    )


RULE = Rule("FT431", "interrupted", Severity.INFO, find)
