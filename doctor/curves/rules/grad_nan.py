"""Gradient norms that are not finite, under losses that are.

What it finds
    Norms that are NaN or infinite in more than 5 % of the records and at least twice, or in the
    last two, where they are not only the first ones.

Why it matters
    With float16, a loss scaler skips such a step and tries a smaller scale: a few at the start
    are its way of finding it. Many, or the last ones, mean that steps are skipped for good, or
    that weights are about to become NaN.

Evidence it needs
    2 gradient norms.

Example
    ```
    step 230: loss 2.77, grad_norm 2.5   step 240: loss 2.51, grad_norm nan   step 250: … nan
    ```

What to do
    Use bfloat16. Where the card has none, keep the trained weights in float32 and lower the
    learning rate; look for rows without one supervised token.

References
    PyTorch's GradScaler halves its scale at each overflow, from 65,536: some ten skipped steps at
    the start are by design. InternLM/xtuner#187; float16: hiyouga/LLaMA-Factory#482.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.words import at, count, span
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

OFTEN = 0.05  # of the records
LEAST = 2


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for gradient norms that are not finite."""
    column = run.column("grad_norm")
    known = [(place, norm) for place, norm in enumerate(column) if norm is not None]
    bad = [number for number, (_, norm) in enumerate(known) if not math.isfinite(norm)]
    if len(known) < LEAST or len(bad) < LEAST:
        return
    at_start = next((i for i, number in enumerate(bad) if i != number), len(bad))
    later = bad[at_start:]
    all_bad = at_start == len(known)
    last_two = bad[-LEAST:] == [len(known) - 2, len(known) - 1]
    often = len(later) >= LEAST and len(later) > OFTEN * len(known)
    if not all_bad and not last_two and not often:
        return
    judged = run.judged
    first = known[bad[0] if all_bad else (later or bad)[0]][0]
    tail = ", and at the end" if last_two and not all_bad else ""
    yield RULE.finding(
        f"the gradient norm is not finite in {count(len(bad), 'record')} of {len(known):,}{tail}",
        found=f"first at {at(judged, first)}",
        help="use bfloat16 instead of float16; look for rows without an answer",
        evidence={
            "steps": span(judged, first, known[bad[-1]][0]),
            "records": len(bad),
            "of": len(known),
            "threshold": OFTEN,
            "learning_rate": judged[first].learning_rate,
        },
        confidence=0.8 if last_two or all_bad else 0.6,
    )


RULE = Rule("FT420", "grad-nan", Severity.WARNING, find)
