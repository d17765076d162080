"""A spec with nothing in it.

What it finds
    A file that is empty, or holds only blanks and comments.

Why it matters
    There is nothing to check.

Evidence it needs
    The text of the spec.

Example
    An empty `train.yaml`.

What to do
    Write the three required keys: `model`, `method` and `data`.

References
    CONTRACT: keys of a spec.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(text: str) -> Iterator[Finding]:
    """Yield the finding."""
    yield RULE.finding(
        "the spec is empty",
        span=(0, 0),
        found="no keys" if text.strip() else "an empty file",
        help="write `model:`, `method:` and `data:`, for example\n"
        "model: HuggingFaceTB/SmolLM2-135M-Instruct\n"
        "method: lora\n"
        "data: train.jsonl",
    )


RULE = Rule("FT005", "empty-spec", Severity.ERROR, find)
