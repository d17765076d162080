"""Rows that lack a field of the format.

What it finds
    Rows without a required key, turns without a role or a content, and nulls in place of a
    prompt. What is required is told from the other rows of the file. A missing `input` of an
    alpaca row is no fault.

Why it matters
    A trainer stops with a KeyError, or trains on the word None.

Evidence it needs
    One row.

Example
    ```
    {"instruction": "Sum up.", "ouput": "It is about bees."}
    ```

What to do
    Correct the key. Where the whole file has other names, say so in `data.columns`. `ftspec
    data clean` sets such rows aside.

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
    """Yield the finding for rows that lack a field of the format."""
    yield from told(
        RULE,
        hits,
        "{rows} lack{s} a field of the format",
        help="add the field, or map the column's name with `data.columns`",
    )


RULE = Rule("FT503", "missing-field", Severity.ERROR, find)
look = flaw("missing-field")
