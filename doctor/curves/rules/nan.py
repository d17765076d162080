"""A loss that is not a finite number.

What it finds
    The first step at which the loss is NaN or infinite. Also NaN that the Hugging Face Trainer
    hides: by default it logs the average so far, or 0.0, in place of a step that was not finite,
    so a loss of exactly 0.0 beside a gradient norm that is not finite, or from one record to the
    next after an ordinary loss and until the end, is NaN and not success.

Why it matters
    One step with NaN gradients makes NaN of every weight that is trained. Nothing after it is
    learnt, and checkpoints saved after it are worthless.

Evidence it needs
    One record. For the hidden kind: a gradient norm, or three losses before the zeros.

Example
    ```
    {"loss": 2.01, "grad_norm": 3.4, "step": 80}
    {"loss": NaN, "grad_norm": NaN, "step": 90}
    ```

What to do
    Go back to the last checkpoint before that step and lower the learning rate tenfold. With
    float16 weights or autocast use bfloat16 or float32: float16 overflows at 65,504. Rows without
    one supervised token give 0/0 as well; `ftspec data check` finds them (`all-masked`).

References
    transformers `TrainingArguments.logging_nan_inf_filter` (true by default).
    Learning rate / 10: haotian-liu/LLaVA#1301 and #1375; dtype: hiyouga/LLaMA-Factory#482.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.statistics import median
from ftspec.doctor.curves.words import at, count, figure, span
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

ORDINARY_LOSS = 0.05  # a fall from above it to exactly 0.0 in one record is no learning


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for the first loss that is not finite, openly or hidden."""
    column = run.column("loss")
    places = [place for place, loss in enumerate(column) if loss is not None]
    losses = [column[place] or 0.0 for place in places]
    bad = [i for i, loss in enumerate(losses) if not math.isfinite(loss)]
    hidden = []
    if not bad and not run.is_reinforcement and 0.0 in losses:
        norms = run.column("grad_norm")
        hidden = hidden_nan(losses, [norms[place] for place in places])
    where = bad or hidden
    if not where:
        return
    records = run.judged
    first = records[places[where[0]]]
    place, written = at(records, places[where[0]]), str(first.loss)
    if hidden:
        title = f"the loss is 0.0 from {place} on, where it was not finite and the log hides it"
    elif len(where) == len(losses):
        title = f"the loss is not a finite number (`{written}`) from the start, {place}"
    else:
        title = f"the loss is not a finite number (`{written}`) at {place}"
    before = records[places[where[0] - 1]] if where[0] else None
    last = f"; the last before it: {figure(before.loss or 0.0)}" if before else ""
    yield RULE.finding(
        title,
        found=f"{count(len(where), 'record')} of {len(losses):,}{last}",
        help="go back to the last checkpoint before that step and lower the learning rate;\n"
        "where float16 is used, use bfloat16 or float32; look for rows without an answer",
        evidence={
            "steps": span(records, places[where[0]], places[where[-1]]),
            "first": written,
            "records": len(where),
            "from_start": len(where) == len(losses),
            "hidden": bool(hidden),
            "loss_before": before.loss if before else None,
            "grad_norm_before": before.grad_norm if before else None,
            "learning_rate": first.learning_rate,
        },
        confidence=(0.9 if len(where) > 1 else 0.6) if hidden else 1.0,
    )


def hidden_nan(losses: Sequence[float], norms: Sequence[float | None]) -> list[int]:
    """Return the places of losses of 0.0 that stand for NaN."""
    zeros = [i for i, loss in enumerate(losses) if loss == 0.0]
    with_bad_gradient = [
        i for i in zeros if not math.isfinite(norms[i] or 0.0)
    ]  # 0.0 and NaN in one row
    if with_bad_gradient:
        return with_bad_gradient
    if not zeros or zeros[-1] != len(losses) - 1:
        return []
    first = zeros[0]
    sudden = zeros == list(range(first, len(losses)))
    before = losses[max(0, first - 3) : first]
    return zeros if sudden and len(before) == 3 and median(before) > ORDINARY_LOSS else []


RULE = Rule("FT401", "nan", Severity.ERROR, find)
