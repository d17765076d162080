"""A run that becomes slower.

What it finds
    Tokens a second, or steps a second, that in the last fifth are more than 30 % under what they
    were in the first third, after the first twentieth, by more than eight standard errors.

Why it matters
    The same training costs more with each step: a card that throttles, memory that runs full and
    is swapped, a disk or a loader that cannot follow, a neighbour on the card.

Evidence it needs
    30 records with a speed or a time per step.

Example
    ```
    step 100: 11,800 tokens/s   step 900: 11,700   step 1,500: 6,900   step 2,000: 6,850
    ```

What to do
    Look at the card's clocks and temperature (`nvidia-smi -q -d PERFORMANCE`), at the memory in
    use, and at who else is on the machine. Longer rows later in the data make steps slower, too.

References
    PyTorch's allocator frees its cache and asks anew when memory is nearly full, which waits for
    the card. The bound of 30 % is a choice; no real log with such a fault was at hand.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.statistics import median, rolling_median, shift
from ftspec.doctor.curves.words import at, figure, share, span
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

RECORDS = 30
DROP = 0.30
ERRORS = 8.0
EARLY = 20  # 1/20 is left out at the start: compilation, warm caches


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for a run that becomes slower and stays so."""
    what, unit = "tokens_per_second", "tokens/s"
    speeds = run.column(what)
    if not any(speeds):
        what, unit = "step_seconds", "steps/s"
        speeds = [1 / s if s and s > 0 else None for s in run.column(what)]
    known = [(i, s) for i, s in enumerate(speeds) if s is not None and 0 < s < math.inf]
    known = known[len(known) // EARLY :]
    if len(known) < RECORDS:
        return
    values = [speed for _, speed in known]
    third, fifth = len(values) // 3, len(values) // 5
    first, last = median(values[:third]), median(values[-fifth:])
    move, error = shift(values[:third], values[-fifth:])
    if last >= (1 - DROP) * first or -move < ERRORS * error:
        return
    smooth = rolling_median(values, min(51, max(5, fifth)) | 1)
    middle = (first + last) / 2
    onset = max((i for i in range(len(smooth)) if smooth[i] > middle), default=0)
    place = known[min(onset + 1, len(known) - 1)][0]
    judged = run.judged
    yield RULE.finding(
        f"the run becomes {share(1 - last / first)} slower at {at(judged, place)}",
        found=f"{_speed(first)} {unit} in the first third, {_speed(last)} in the last fifth",
        help="look at the card's clocks, the memory in use, the loader, and who else is there",
        evidence={
            "steps": span(judged, place, known[-1][0]),
            "first": first,
            "last": last,
            "quantity": what,
            "threshold": (1 - DROP) * first,
        },
        confidence=0.8,
    )


def _speed(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else figure(value)


RULE = Rule("FT429", "throughput-drop", Severity.WARNING, find)
