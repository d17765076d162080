"""Rows of which no token is learnt.

What it finds
    Rows without a supervised token among the first `data.max_length`: the prompt alone fills
    the row, or there is no answer.

Why it matters
    The loss of such a row is 0/0. In a batch of them it is logged as NaN, or as 0.

Evidence it needs
    The model's tokenizer: `--model`, or the spec's `model`; for rows that are cut,
    `--max-length` or `data.max_length`.

Example
    ```
    none of 512 tokens is learnt
    ```

What to do
    Raise `data.max_length`, or remove the rows.

References
    Axolotl, `drop_no_trainable_tokens`; trl pull request 5826.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ftspec.doctor.data.hits import Hits, told
from ftspec.doctor.data.tokens import OfTokens
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for rows of which nothing is learnt."""
    yield from told(
        RULE,
        hits,
        "{rows} {have} no token that is learnt",
        help="raise data.max_length, or remove the rows",
    )


RULE = Rule("FT562", "all-masked", Severity.ERROR, find)
watch = partial(OfTokens, "all-masked")
