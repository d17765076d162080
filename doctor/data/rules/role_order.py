"""Conversations whose turns come in an order that templates refuse.

What it finds
    After the optional system turns user and assistant alternate. Found are: unknown roles, two
    turns of the user or the assistant in a row, a first turn of the assistant, a system turn in
    the middle, a tool's answer to no call, a last turn of the user. Calls of tools may stand
    beside words of the assistant and beside each other.

Why it matters
    Many chat templates raise an exception on such a row; others render it as something that
    never occurs in use.

Evidence it needs
    One row.

Example
    ```
    [{"role": "user", ...}, {"role": "user", ...}, {"role": "assistant", ...}]
    ```

What to do
    Join the turns, or remove the one that is over.

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
    """Yield the finding for conversations whose turns come in an order that templates refuse."""
    yield from told(
        RULE,
        hits,
        "{rows} hold{s} turns in an order that chat templates refuse",
        help="let user and assistant alternate after at most one system turn",
    )


RULE = Rule("FT504", "role-order", Severity.WARNING, find)
look = flaw("role-order")
