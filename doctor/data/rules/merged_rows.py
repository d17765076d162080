"""Several rows in one.

What it finds
    Answers that hold the beginning of another row: a numbered or headed instruction (`###
    Instruction:`, `18. Instruction:`), a turn of the user in the words of a log or a chat
    template (`### Human:`, `<|im_start|>user`, `[INST]`), after an answer of their own.

Why it matters
    The model learns to go on after its answer, asking and answering by itself.

Evidence it needs
    One row.

Example
    ```
    "output": "It is about bees.\\n###\\n18. Instruction: Translate the sentence."
    ```

What to do
    Split the row. `ftspec data clean --fix merged-rows` sets it aside.

References
    AlpacaDataCleaned, README (merged instructions).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ftspec.doctor.data.example import Example, holds
from ftspec.doctor.data.hits import Hit, Hits, told
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

_BEGINS = re.compile(
    r"(?:^|\n)\s*(?:#{1,3}\s*)?(?:\d{1,3}[.)]\s*)(?:instruction|prompt)\s*:"
    r"|(?:^|\n)\s*#{2,3}\s*(?:instruction|input|human|user|prompt|question)\s*:"
    r"|(?:^|\n)\s*#{3}\s*(?:instruction|human|user)\s*\n"
    r"|(?:^|\n)\s*\**(?:instruction|human|user)\**\s*:\s.{1,400}?\n\s*\**(?:output|response|assistant|gpt|ai|input)\**\s*:"
    r"|<\|(?:im_start|start_header_id)\|>\s*user|<\|user\|>|<\|prompter\|>|\[INST\]|<start_of_turn>user",
    re.IGNORECASE | re.DOTALL,
)
# A mark, and what it stands in: one is in all of them, without case and spaces.
_MARKS = (
    (b"instruction", (b"instruction",)),
    (b":", (b"human:", b"user:", b"prompt:", b"#question:", b"#input:")),
    (b"*", (b"human*", b"user*")),
    (b"#", (b"#human", b"#user")),
    (b"|>", (b"|>",)),
    (b"[inst]", (b"[inst]",)),
    (b"<start_of_turn>", (b"<start_of_turn>",)),
)
_ABOUT = re.compile(
    r"templat|instruction|prompt|convers|dialog|chat|transcript|interview|markdown|script", re.I
)


def look(example: Example) -> Hit | None:
    """Return an answer in which another row begins."""
    if example.chosen or not (
        _may_hold(example.said) or (len(example.answers) > 1 and _may_hold(example.before))
    ):
        return None
    for answer in example.answers:
        if "\n" not in answer and "<" not in answer and "[" not in answer:
            continue
        match = _BEGINS.search(answer)
        if match and match.start() > 0 and not _ABOUT.search(example.prompt):
            return Hit("another row begins in the answer", answer, match.start())
    return None


def _may_hold(text: bytes) -> bool:
    for mark, words in _MARKS:
        if mark in text and holds(text, words):
            return True
    return False


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for merged rows."""
    yield from told(
        RULE,
        hits,
        "{rows} hold{s} several rows in one",
        help="split them where the next instruction begins",
        confidence=0.9,
    )


RULE = Rule("FT547", "merged-rows", Severity.WARNING, find)
