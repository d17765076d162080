"""Answers that stand for an answer still to be written.

What it finds
    Answers that are, as a whole, words such as TODO, N/A, null, <no output>, [insert answer
    here], lorem ipsum, or only dots and dashes; and template variables that were never filled
    in ({{name}}), where the row is not about templates or code.

Why it matters
    The model learns the placeholder.

Evidence it needs
    One row.

Example
    ```
    {"instruction": "Who are you?", "output": "I am {{name}}."}
    {"instruction": "Sum up.", "output": "<no output>"}
    ```

What to do
    Write the answer or fill in the variable. `ftspec data clean` sets rows aside whose whole
    answer is a placeholder.

References
    AlpacaDataCleaned, README (N/A and no-output rows); placeholders of LLaMA-Factory's
    identity.json.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ftspec.doctor.data.example import Example
from ftspec.doctor.data.hits import Hit, Hits, told
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

_WHOLE = re.compile(
    r"[<\[({`\"']*\s*(?:n/?\.?a\.?|null|nan|undefined|todo|tbd|tba|fixme|xxx+|placeholder"
    r"|no ?(?:output|answer|response|content|text)"
    r"(?: (?:available|provided|given|needed|required))?"
    r"|not (?:available|applicable|provided)|to be (?:added|done|filled(?: in)?|written|determined)"
    r"|(?:insert|add|put|write|enter|your|the)? ?(?:answer|output|response|completion|text|content)"
    r"(?: goes)? here|lorem ipsum.{0,400}"
    r"|(?:sample|example|dummy|test) (?:answer|output|response|text)"
    r"|coming soon)\s*[>\])}`\"'.!:]*",
    re.IGNORECASE | re.DOTALL,
)
_EMPTY = re.compile(r"[\s.…\-_*?#]+")
_VARIABLE = re.compile(r"(?<![{$])\{\{\s*([A-Za-z_][\w ]{0,40}?)\s*\}\}(?!\})")
_CODE = re.compile(
    r"```|\{%|</|\bjinja|handlebars|mustache|templat|liquid|latex|\\\\|\bvue\b|angular", re.I
)
_LONGEST = 460  # characters of a placeholder


def look(example: Example) -> Hit | None:
    """Return an answer that is a placeholder, or has one that was never filled in."""
    for answer in example.answers:
        if len(answer) <= _LONGEST and is_placeholder(answer):
            return Hit(f"the answer is `{answer.strip()[:40]}`", answer, kind="whole")
        if "{{" in answer:
            match = _VARIABLE.search(answer)
            if match and not _CODE.search(example.text):
                words = f"`{match[0]}` was never filled in"
                return Hit(words, answer, match.start(), kind="variable")
    return None


def is_placeholder(answer: str) -> bool:
    """Say whether a whole answer stands for one still to be written."""
    plain = answer.strip()
    if not plain:
        return False
    return bool(_EMPTY.fullmatch(plain) or _WHOLE.fullmatch(plain))


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for placeholders."""
    yield from told(
        RULE,
        hits,
        "{rows} {have} a placeholder in place of an answer",
        help="write the answer, or fill in the variable",
        confidence=0.9,
    )


RULE = Rule("FT542", "placeholder-answer", Severity.WARNING, find)
