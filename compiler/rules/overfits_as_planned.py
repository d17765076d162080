"""Numbers under which a run will most likely overfit.

What it finds
    Four or more passes over the data and more than 100 optimizer steps, where the spec itself says
    so with its epochs, dropout, learning rate or early stopping.

Why it matters
    From about the third pass on rows are learnt by heart: training loss falls, held-out loss
    rises, and the time is paid for all the same.

Evidence it needs
    The number of rows, the effective batch, the epochs.

Example
    `epochs: 10` on 2,000 rows.

What to do
    In the guide's order: fewer epochs, more dropout, more data, a lower learning rate, early
    stopping. `--allow regularize` makes these changes; `tune.overfitting: off` says nothing.

References
    The guide. Muennighoff et al., Scaling Data-Constrained Language Models, 2023: up to four
    passes are about as good as new data, more are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ftspec.spec.edit import literal
from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.rule import Rule

WORDS = {
    "train.epochs": ("fewer epochs", "the run ends near its lowest held-out loss"),
    "method.dropout": ("more dropout", "held-out loss turns later"),
    "train.learning_rate": ("the usual learning rate", "held-out loss turns later and lower"),
    "train.early_stopping": ("stop early", "the best checkpoint is kept"),
}


def find(subject: tuple[float, int, Mapping[str, tuple[Any, Any]]]) -> Iterator[Finding]:
    """Yield the finding; subject: passes, rows, path -> (written, better)."""
    passes, rows, wanted = subject
    remedies = tuple(
        Prescription((Edit(path, asked, better),), *WORDS[path])
        for path, (asked, better) in wanted.items()
    )
    ways = ", ".join(f"`{path}: {literal(better)}`" for path, (_, better) in wanted.items())
    first = next(iter(wanted))
    section, _, key = first.partition(".")
    yield RULE.finding(
        f"{passes:.3g} passes over {rows:,} rows will most likely overfit",
        route=(section, key),
        found="held-out loss turns from about the third pass on",
        help=f"in this order: {ways} (--allow regularize does it); more data is better than all",
        evidence={"passes": passes, "rows": rows},
        confidence=0.7,
        prescriptions=remedies,
    )


RULE = Rule("FT302", "overfits-as-planned", Severity.WARNING, find)
