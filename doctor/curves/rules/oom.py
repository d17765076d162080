"""A run that ran out of memory.

What it finds
    An out-of-memory error in the log, with the phase that it fell in: loading, training,
    evaluating, saving, merging or generating. One that training went on after is information.

Why it matters
    The run ends there. Where in a run it happens says what is too large: the model at loading,
    activations at the first long batch, logits at the first evaluation.

Evidence it needs
    The error's text, or an event of ours.

Example
    ```
    torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 960.00 MiB. …
    ```

What to do
    The ladder, in this order: activation checkpointing; a smaller micro-batch with more
    accumulation, so that the effective batch stays; 4-bit weights; shorter rows. In evaluation: a
    smaller evaluation batch. `ftspec check` says beforehand what fits.

References
    The ladder is the guide's. PyTorch `OutOfMemoryError`; `CUBLAS_STATUS_ALLOC_FAILED` and
    `std::bad_alloc` are read as the same where the reader knows them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ftspec.doctor.curves.series import Event, Run
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

WHILE = {
    "load": "while the model was loaded",
    "train": "in training",
    "evaluate": "in an evaluation",
    "save": "while a checkpoint was saved",
    "merge": "while the adapter was merged",
    "generate": "while text was generated",
}
ADVICE = {
    "load": "load the weights in 4-bit, or take a smaller model or more cards",
    "evaluate": "take a smaller evaluation batch, or evaluate fewer tokens at a time",
    "save": "free the card's cache before saving, or save from the host's memory",
    "merge": "merge on the CPU",
    "generate": "generate fewer rows at a time, or fewer new tokens",
}
LADDER = (
    "in this order: activation checkpointing, a smaller micro-batch with more accumulation,\n"
    "4-bit weights, shorter rows"
)
_WANTED = re.compile(r"[Tt]ried to allocate ([\d.]+ ?[KMG]iB)")
_FREE = re.compile(r"([\d.]+ ?[KMG]iB|\d+ bytes) (?:is )?free")


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for the last out-of-memory error of a log."""
    errors = [event for event in run.events if event.kind == "out-of-memory"]
    if not errors:
        return
    last = errors[-1]
    goes_on = _went_on(run, last)
    where = f" at step {last.step:,.0f}" if last.step is not None else ""
    phase = f" {WHILE[last.phase]}" if last.phase in WHILE else ""
    wanted, free = _WANTED.search(last.text), _FREE.search(last.text)
    sizes = f"{wanted.group(1)} more were asked for" if wanted else last.text.strip()[:160]
    sizes += f", {free.group(1)} were free" if wanted and free else ""
    line = f" (line {last.line:,})" if last.line else ""
    yield RULE.finding(
        f"the run ran out of memory{phase}{where}" + (", and went on" if goes_on else ""),
        found=f"{sizes}{line}" + (f"; {len(errors)} such errors" if len(errors) > 1 else ""),
        help=ADVICE.get(last.phase or "", LADDER),
        evidence={
            "phase": last.phase,
            "step": last.step,
            "line": last.line,
            "text": last.text[:300],
            "count": len(errors),
        },
        confidence=0.7 if goes_on else 1.0,
        severity=Severity.INFO if goes_on else Severity.ERROR,
    )


def _went_on(run: Run, error: Event) -> bool:
    """Say whether training went on after it: ten records more, or an end that was reached."""
    finished = any(event.kind == "end" and event.at > error.at for event in run.events)
    return finished or len(run.train) - error.at >= 10


RULE = Rule("FT433", "oom", Severity.ERROR, find)
