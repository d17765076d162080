"""Rows whose fields are not of the type that the format asks for.

What it finds
    Rows that are no object, texts that are numbers, arrays or objects, conversations that are
    no array of objects.

Why it matters
    Trainers raise on such a row hours into tokenization, turn it into the text of a Python
    object, or drop it without a word.

Evidence it needs
    One row.

Example
    ```
    {"instruction": ["Sum up."], "output": 3}
    ```

What to do
    Write the value as a string. `ftspec data clean` sets such rows aside.

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
    """Yield the finding for rows whose fields are not of the type that the format asks for."""
    yield from told(
        RULE,
        hits,
        "{rows} hold{s} a value of the wrong type",
        help="write texts as strings and conversations as arrays of turns",
    )


RULE = Rule("FT502", "wrong-type", Severity.ERROR, find)
look = flaw("wrong-type")
