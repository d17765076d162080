"""A loss that fell a little at first and then stays where it is.

What it finds
    Runs whose loss falls by 2 % to 5 % after warm-up, by less than 1 % over the last three fifths
    (2 % where three evaluations or more rest too), and by less than a tenth counted from the very
    first records, while held-out loss does not fall.

Why it matters
    Most of the run is paid for and brings nothing. A run that fell far and then rests has
    converged; one that never fell far has not begun to learn.

Evidence it needs
    20 losses after warm-up. Losses under 0.05 are not judged.

Example
    ```
    step 500: 1.42   step 20,000: 1.38   step 45,000: 1.37   step 68,000: 1.36
    ```

What to do
    Raise the learning rate, up to tenfold; for an adapter, raise its rank. If neither moves the
    loss, the model may know all that these rows can teach.

References
    Flat is under 2 % (FT403): a plateau is what lies between that and 5 %, where a mean loss of
    1.4 means less than 7 % of perplexity. Epoch-wise staircases fall by more and are healthy.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.doctor.curves.rules import diverges, flat
from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.statistics import median
from ftspec.doctor.curves.words import at, figure, share, span
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

RECORDS = 20
GAIN = 0.05  # of the loss, first fifth against last fifth
REST, REST_SEEN_TWICE = 0.01, 0.02  # of the loss, second fifth against last fifth
EVALUATIONS = 3
WHOLE = 0.10  # of the loss, the first three records against the last fifth


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for a loss that stays where it is after a small fall."""
    curve = flat.settled(run.curve)
    losses = [record.loss for record in curve if record.loss is not None]
    if len(losses) < RECORDS or run.is_reinforcement or diverges.divergence(run):
        return
    fifth = len(losses) // 5
    first, then, end = (
        median(losses[part * fifth : (part + 1) * fifth] if part < 4 else losses[-fifth:])
        for part in (0, 1, 4)
    )
    if end < flat.LEARNT or not flat.CHANGE * end <= first - end < GAIN * end:
        return
    rest = REST_SEEN_TWICE if len(run.held_out) >= EVALUATIONS else REST
    if abs(then - end) >= rest * end or median(run.losses[:3]) - end >= WHOLE * end:
        return
    if flat.eval_fall(run) > flat.EVAL_FALL:
        return
    yield RULE.finding(
        f"the loss rests at {figure(end)} from {at(curve, fifth)} on, after a small fall",
        found=f"{figure(first)} in the first fifth, {figure(then)} in the second, "
        f"{figure(end)} in the last: {share((first - end) / first)} in all",
        help="raise the learning rate, or an adapter's rank; a model that knows its rows rests too",
        evidence={
            "steps": span(curve, fifth, len(curve) - 1),
            "first_fifth": first,
            "second_fifth": then,
            "last_fifth": end,
            "threshold": GAIN * end,
            "learning_rate": run.peak_learning_rate,
        },
        confidence=0.6,
    )


RULE = Rule("FT411", "plateau", Severity.WARNING, find)
