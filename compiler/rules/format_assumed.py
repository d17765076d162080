"""Hub data whose format is not said.

What it finds
    A data set on a hub, and no `data.format`.

Why it matters
    Its columns cannot be seen from here. They are taken to be alpaca's, and a run on others
    stops at its first row.

Evidence it needs
    The spec.

Example
    ```yaml
    data: HuggingFaceH4/ultrachat_200k:train_sft
    ```

What to do
    Write `data.format`, and `data.columns` where the names are not the usual ones.

References
    CONTRACT: keys of a spec.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.compiler.facts.data import DataFacts
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(data: DataFacts | None) -> Iterator[Finding]:
    """Yield the finding for hub data without a format."""
    if data is not None and data.kind == "hub" and data.format is None:
        yield RULE.finding(
            f"the format of `{data.hub}` cannot be seen from here: alpaca is assumed",
            route=("data", "train"),
            found="on a hub",
            help="write `format: messages`, or whichever its rows have, under `data:`",
            evidence={"hub": data.hub},
        )


RULE = Rule("FT177", "format-assumed", Severity.WARNING, find)
