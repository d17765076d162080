"""Conversations without a turn of the assistant.

What it finds
    A conversation in which no role means the assistant.

Why it matters
    All labels of the row are masked. In a batch of such rows the loss is 0/0, logged as NaN or
    as 0.

Evidence it needs
    One row.

Example
    ```
    {"messages": [{"role": "user", "content": "Hello?"}]}
    ```

What to do
    Add the answer. `ftspec data clean` sets such rows aside.

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
    """Yield the finding for conversations without a turn of the assistant."""
    yield from told(
        RULE,
        hits,
        "{rows} hold{s} no turn of the assistant: nothing is learnt from them",
        help="add the answer, or remove the row",
    )


RULE = Rule("FT506", "no-answer-turn", Severity.ERROR, find)
look = flaw("no-answer-turn")
