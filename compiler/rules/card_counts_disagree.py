"""Two numbers of cards that are not the same.

What it finds
    A number of cards in `hardware.gpu`, such as `2x4090`, and another in `hardware.count`.

Why it matters
    The effective batch, and so what is learnt, depends on how many cards there are.

Evidence it needs
    Both keys.

Example
    ```yaml
    hardware: {gpu: 2x4090, count: 4}
    ```

What to do
    Keep one of them.

References
    CONTRACT: keys of a spec, `hardware`.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.compiler.facts.gpus import split_count
from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.model import Hardware
from ftspec.spec.rule import Rule


def find(asked: Hardware) -> Iterator[Finding]:
    """Yield the finding."""
    written, name = split_count(asked.gpu or "")
    if written is None or asked.count in (None, written):
        return
    yield RULE.finding(
        f"`{asked.gpu}` is {written} cards, and `count` says {asked.count}",
        route=("hardware", "count"),
        found=f"{asked.count}",
        help=f"write `gpu: {name.strip()}` for {asked.count} of them, or leave `count` out",
        evidence={"gpu": asked.gpu, "count": asked.count},
        prescriptions=(
            Prescription(
                (Edit("hardware.gpu", asked.gpu, name.strip()),),
                f"the run gets {asked.count} cards",
            ),
        ),
    )


RULE = Rule("FT191", "card-counts-disagree", Severity.ERROR, find)
