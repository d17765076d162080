"""A flat spec that names no data.

What it finds
    The guide's quick reference as it is printed, which says nothing of data.

Why it matters
    Memory can still be predicted, with every row at the maximum length. Building and running
    need the data.

Evidence it needs
    The keys of the spec.

Example
    ```yaml
    model: meta-llama/Llama-2-7b-hf
    lora_r: 16
    batch_size: 4
    ```

What to do
    Add `data: train.jsonl`, or give `--data FILE`.

References
    CONTRACT: the guide's flat form.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(needed: bool) -> Iterator[Finding]:
    """Yield the finding; it is an error where data is `needed`."""
    yield RULE.finding(
        "the spec names no data",
        route=("data", "train"),
        found="every row is taken to have the maximum length" if not needed else "no `data` here",
        help="add `data: train.jsonl`, or give `--data FILE`",
        severity=Severity.ERROR if needed else Severity.INFO,
    )


RULE = Rule("FT106", "no-data", Severity.INFO, find)
