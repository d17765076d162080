"""Conversations with an empty turn.

What it finds
    A turn whose text is empty or only spaces, and which calls no tool.

Why it matters
    The model learns that silence is an answer, or to answer to nothing.

Evidence it needs
    One row.

Example
    ```
    {"from": "gpt", "value": ""}
    ```

What to do
    Remove the exchange, or the row.

References
    together-python, utils/files.py; OpenAI cookbook, Chat_finetuning_data_prep.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.doctor.data.hits import Hits, told
from ftspec.doctor.data.rules.flaws import flaw
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for conversations with an empty turn."""
    yield from told(
        RULE,
        hits,
        "{rows} hold{s} an empty turn",
        help="remove the turn with the one that it belongs to",
    )


RULE = Rule("FT505", "empty-turn", Severity.WARNING, find)
look = flaw("empty-turn")
