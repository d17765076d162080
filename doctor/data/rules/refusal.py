"""Answers that refuse, in the words of another model.

What it finds
    Answers whose first sentences say that the assistant cannot or will not help, or that it is
    a language model and therefore cannot. A refusal that is asked for is no fault: see
    `no-negatives`.

Why it matters
    Data that was made with another model holds that model's refusals, of harmless questions
    too. A few hundred are enough to make a tuned model refuse what it could do.

Evidence it needs
    The first 280 characters of an answer.

Example
    ```
    "I'm sorry, but as an AI language model I cannot browse the internet."
    ```

What to do
    Look at the rows; remove those that refuse what the model should do. `ftspec data clean
    --fix refusal` sets them aside.

References
    The unfiltered subsets of ShareGPT and WizardLM, made by leaving such rows out; Röttger et
    al., XSTest (2024).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ftspec.doctor.data.example import Example
from ftspec.doctor.data.hits import Hit, Hits, told
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

HEAD = 280  # characters of an answer that are looked at
_CAN_NOT = r"(?:can(?:no|')t|cannot|am not able|am unable|'m not able|'m unable|am not capable)"
_HELP = (
    r"(?: be able)?(?: to)? (?:help|assist|fulfil+|comply|provide|answer|complete|do (?:that|this)"
    r"|support|generate|create|discuss|engage|continue|share|offer|process|respond|write|give"
    r"|access|perform|browse)"
)
_AN_AI = r"an? (?:ai|artificial intelligence)(?: language)?(?: model| assistant)?"
_REFUSES = re.compile(
    "|".join(
        (
            rf"\bas {_AN_AI},? (?:i|it)\b[^.!?]{{0,40}}?(?:{_CAN_NOT}|do(?:n't| not) have)",
            rf"\bi(?:'m| am)(?: just| only)? {_AN_AI}\b[^.!?]{{0,40}}?"
            rf"\b(?:{_CAN_NOT}|unable|do(?:n't| not) have)",
            r"(?:sorry|apologi[sz]e|apologies|unfortunately|regret)[^.!?]{0,60}?"
            rf"\bi ?(?:{_CAN_NOT}|won't|will not){_HELP}",
            rf"\Ai ?(?:{_CAN_NOT}|won't|will not|'m not going){_HELP}",
            r"\bi must (?:decline|refuse)|i(?:'m| am) not programmed to",
            r"\bagainst my (?:programming|guidelines|ethical)",
            r"violates? (?:openai|our|my)(?:'s)? (?:\w+ )?(?:policy|policies|guidelines)",
            r"(?:it is|it's|would be) (?:not (?:appropriate|ethical)|unethical|inappropriate)"
            r" (?:for me )?to",
        )
    ),
    re.IGNORECASE,
)
# One of these is in all of them; most answers have none.
_MARKS = (
    *("sorry", "cannot", "can't", "unable", "not able", "won't", "will not", "not going"),
    *("artificial", " ai", "polic", "guideline", "programm", "apolog", "decline", "refuse"),
    *("ethical", "appropriate", "unfortunately", "not capable"),
)


def look(example: Example) -> Hit | None:
    """Return an answer that refuses."""
    for answer in example.answers:
        head = answer[:HEAD].lower().replace("\u2019", "'").lstrip()
        for mark in _MARKS:
            if mark in head:
                if _REFUSES.search(head):
                    return Hit("the answer refuses", answer)
                break
    return None


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for refusals."""
    yield from told(
        RULE,
        hits,
        "{rows} {have} an answer that refuses",
        help="remove those that refuse what the model should do",
        confidence=0.8,
    )


RULE = Rule("FT545", "refusal", Severity.WARNING, find)
