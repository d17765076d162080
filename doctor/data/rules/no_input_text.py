"""Inputs that say that there is no input.

What it finds
    Values of alpaca's `input` that are, as a whole, words such as noinput, no input, N/A, none,
    null, <noinput>, or none required.

Why it matters
    The words become part of the prompt: the model learns to expect them, and they are not there
    in use.

Evidence it needs
    One row.

Example
    ```
    {"instruction": "Tell a joke.", "input": "<noinput>", "output": "..."}
    ```

What to do
    `ftspec data clean` makes the input empty.

References
    AlpacaDataCleaned, README (no-input rows).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ftspec.doctor.data.example import Example
from ftspec.doctor.data.hits import Hit, Hits, told
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

_NO_INPUT = re.compile(
    r"[<\[({`\"'\s]*(?:(?:there is )?no[ _-]?(?:input|context)"
    r"(?: (?:is )?(?:required|needed|necessary|provided|given))?"
    r"|n/?\.?a\.?|none(?: (?:required|needed|provided))?|null|nan|nil"
    r"|not (?:applicable|required|needed)"
    r"|empty|undefined|input)[>\])}`\"'\s.!]*",
    re.IGNORECASE,
)


def look(example: Example) -> Hit | None:
    """Return an input that says that there is none."""
    text = example.input
    if not text or len(text) > 60 or not says_none(text):
        return None
    return Hit(f"the input is `{text.strip()}`", text)


def says_none(text: str) -> bool:
    """Say whether an input says that there is none."""
    return _NO_INPUT.fullmatch(text) is not None


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for inputs that say so."""
    yield from told(
        RULE,
        hits,
        "{rows} say{s} that there is no input, as the input",
        help='write ""; `ftspec data clean` does',
    )


RULE = Rule("FT548", "no-input-text", Severity.WARNING, find)
