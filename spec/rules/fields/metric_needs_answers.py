"""A metric of answers where the rows have none.

What it finds
    `bleu`, `chrf`, `rouge` or `exact-match` in `evaluate` where `data.format` is `text`.

Why it matters
    These metrics compare a generated answer with the row's own. Plain text has no answer to
    compare with; perplexity needs none.

Evidence it needs
    `evaluate` and `data.format`.

Example
    ```yaml
    data: {train: book.jsonl, format: text}
    evaluate: [bleu]
    ```

What to do
    Write `evaluate: [perplexity]`, or name the format that has answers.

References
    BLEU: Papineni et al. 2002 (a score against reference answers).
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule


def find(spec: Spec) -> Iterator[Finding]:
    """Yield one finding a metric."""
    metrics = spec.evaluate or ()
    if spec.data.format != "text":
        return
    patch = Edit("evaluate", list(metrics), ["perplexity"])
    for place, metric in enumerate(metrics):
        if metric != "perplexity":
            yield RULE.finding(
                f"`{metric}` needs answers, and the format `text` has none",
                route=("evaluate", place),
                found="no answer to compare with",
                help="write `evaluate: [perplexity]`, or name a format with answers",
                evidence={"metric": metric},
                prescriptions=(Prescription((patch,), "perplexity needs no answers"),),
            )


RULE = Rule("FT141", "metric-needs-answers", Severity.ERROR, find)
