"""An effective batch that the cards cannot share out evenly.

What it finds
    `train.effective_batch` that is no product of a micro-batch, an accumulation and the number
    of cards that are there.

Why it matters
    The effective batch decides what is learnt together with the learning rate. It is kept
    exactly, or the run is not started.

Evidence it needs
    The spec, and the cards: those that it names, or those that are detected.

Example
    ```yaml
    train: {effective_batch: 16}
    hardware: {gpu: a100, count: 3}
    ```

What to do
    Write a multiple of the number of cards, or use a number of cards that divides it.

References
    CONTRACT: who may change what.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.rule import Rule


def find(subject: tuple[int | None, int, int]) -> Iterator[Finding]:
    """Yield the finding; `subject` is what was asked for, what would come of it, the ranks."""
    asked, product, ranks = subject
    if asked is None or asked == product:
        return
    near = max(1, round(asked / ranks)) * ranks
    yield RULE.finding(
        f"`effective_batch: {asked}` cannot be kept: the nearest is {product}",
        route=("train", "effective_batch"),
        found=f"{ranks} card{'s' if ranks != 1 else ''} share it out",
        help=f"write a multiple of what one step takes at least, such as `{near}`, "
        "or change `hardware.count`",
        evidence={"asked": asked, "product": product, "ranks": ranks},
        prescriptions=(
            Prescription((Edit("train.effective_batch", asked, near),), "divides by the cards"),
        ),
    )


RULE = Rule("FT175", "effective-batch-lost", Severity.ERROR, find)
