"""A metric that the scripts do not measure yet.

What it finds
    `bleu`, `chrf`, `rouge` or `exact-match` under `evaluate`.

Why it matters
    The emitted evaluate.py measures perplexity; nothing should be promised that is not done.

Evidence it needs
    The spec.

Example
    ```yaml
    evaluate: [perplexity, bleu]
    ```

What to do
    Nothing: the key stays valid, and the metric is left out of this version's script.

References
    CHANGELOG.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.compiler.draft import Draft
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(draft: Draft) -> Iterator[Finding]:
    """Yield the finding."""
    for number, metric in enumerate(draft.spec.evaluate or ()):
        if metric != "perplexity":
            yield RULE.finding(
                f"`{metric}` is not measured by this version's evaluate.py",
                route=("evaluate", number),
                found="left out",
                help="perplexity is measured; remove the word to silence this",
            )


RULE = Rule("FT173", "metric-not-emitted", Severity.WARNING, find)
