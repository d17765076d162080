"""Rows longer than the longest row that is trained on.

What it finds
    Rows of more tokens than `data.max_length`, counted by the model's own tokenizer and chat
    template; how many tokens are cut, and how many of them were to be learnt.

Why it matters
    What is cut is the end: the answer, and the token that ends it. The model learns to break
    off.

Evidence it needs
    The model's tokenizer: `--model`, or the spec's `model`; for rows that are cut,
    `--max-length` or `data.max_length`.

Example
    ```
    2,310 tokens: 262 are cut, 262 of them learnt
    ```

What to do
    Raise `data.max_length`, split the row, or shorten its prompt.

References
    The scripts' own cut: the first `max_length` tokens stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ftspec.doctor.data.hits import Hits, told
from ftspec.doctor.data.tokens import OfTokens
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for rows that are cut."""
    yield from told(
        RULE,
        hits,
        "{rows} {are} longer than the longest row that is trained on",
        help="raise data.max_length, or shorten the rows",
    )


RULE = Rule("FT561", "too-long", Severity.WARNING, find)
watch = partial(OfTokens, "too-long")
