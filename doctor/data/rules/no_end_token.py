"""Answers whose end is not learnt.

What it finds
    Conversations whose last supervised tokens hold no special token, such as the end of the
    sequence or of a turn. Texts and completions get one from the scripts.

Why it matters
    The model never learns to stop: it goes on until the limit of the generation.

Evidence it needs
    The model's tokenizer: `--model`, or the spec's `model`; for rows that are cut,
    `--max-length` or `data.max_length`.

Example
    ```
    ... about bees.  (no <|im_end|> or </s> after it)
    ```

What to do
    Use a template that ends the turn, with `model.chat_template`.

References
    Axolotl's check of `eot_tokens` against the chat template.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ftspec.doctor.data.hits import Hits, told
from ftspec.doctor.data.tokens import OfTokens
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for answers without an end."""
    yield from told(
        RULE,
        hits,
        "{rows} {have} an answer whose end is not learnt",
        help="use a chat template that ends the assistant's turn with an end token",
    )


RULE = Rule("FT563", "no-end-token", Severity.WARNING, find)
watch = partial(OfTokens, "no-end-token")
