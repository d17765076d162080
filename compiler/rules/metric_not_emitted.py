"""A metric of answers where the rows turn out to have none.

What it finds
    `bleu`, `chrf`, `rouge` or `exact-match` under `evaluate`, where the data is plain text by
    its columns. (Where `data.format: text` is written, `metric-needs-answers` says so.)

Why it matters
    These metrics compare a generated answer with the row's own. Plain text has none, so the
    emitted evaluate.py leaves them out.

Evidence it needs
    The columns of the data, and `evaluate`.

Example
    ```yaml
    data: book.jsonl      # rows of {"text": ...}
    evaluate: [perplexity, bleu]
    ```

What to do
    Leave the word out, or give rows with a prompt and an answer.

References
    BLEU: Papineni et al. 2002 (a score against reference answers).
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.compiler.draft import Draft
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.model import Metric
from ftspec.spec.rule import Rule

DEFAULT: tuple[Metric, ...] = ("perplexity",)


def measured(draft: Draft) -> tuple[Metric, ...]:
    """Return the metrics that evaluate.py measures, each once; perplexity where none is left."""
    asked = tuple(dict.fromkeys(draft.spec.evaluate or DEFAULT))
    if _has_answers(draft):
        return asked
    return tuple(metric for metric in asked if metric == "perplexity") or DEFAULT


def find(draft: Draft) -> Iterator[Finding]:
    """Yield one finding a metric."""
    if _has_answers(draft):
        return
    for number, metric in enumerate(draft.spec.evaluate or ()):
        if metric != "perplexity":
            yield RULE.finding(
                f"`{metric}` needs answers, and the rows are plain text",
                route=("evaluate", number),
                found="left out",
                help="perplexity needs none; remove the word to silence this",
            )


def _has_answers(draft: Draft) -> bool:
    written = draft.spec.data.format
    return written is not None or draft.data is None or draft.data.format != "text"


RULE = Rule("FT173", "metric-not-emitted", Severity.WARNING, find)
