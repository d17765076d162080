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

from ftspec.doctor.data.example import Example, holds
from ftspec.doctor.data.hits import Hit, Hits, told
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

HEAD = 280  # characters of an answer that are looked at
_CAN_NOT = (
    r"(?:can(?:no|')t|cannot|(?:am|'m|was) (?:not|un)(?: |)able|am not capable|won't|will not"
    r"|'m not going|am not going|could not|must not)"
)
_HELP = (
    r"(?: be able)?(?: to)? (?:help|assist|fulfil+|comply|provide|answer|complete|do (?:that|this)"
    r"|support|generate|create|produce|discuss|engage|continue|share|offer|process|respond|write"
    r"|give|access|perform|browse|open|recommend|advise|encourage|participate)"
)
# "I can't wait", "I cannot stress enough": said by who does not refuse.
_NOT_A_FIGURE = (
    r"(?!wait|believe|imagine|stress|emphasi|help but|remember|recall|think|even|see|find|sleep"
    r"|stand|afford|go|be |let|lie|thank|stop|get|forget|seem|live|fail|give up)"
)
_AN_AI = (
    r"(?:an? )?(?:large )?(?:ai|artificial intelligence|language model)"
    r"(?: (?:language )?(?:model|assistant|system|program))?"
)
_REFUSES = re.compile(
    "|".join(
        (
            rf"\bas {_AN_AI},? (?:i|it)\b[^.!?]{{0,40}}?(?:{_CAN_NOT}|do(?:n't| not) have)",
            rf"\bi(?:'m| am)(?: just| only)? {_AN_AI}\b[^.!?]{{0,40}}?"
            rf"\b(?:{_CAN_NOT}|unable|do(?:n't| not) have)",
            r"(?:sorry|apologi[sz]e|apologies|unfortunately|regret)[^.!?]{0,60}?"
            rf"\bi ?{_CAN_NOT}{_HELP}",
            rf"\A(?:(?:no|unfortunately|(?:i am|i'm|we are) (?:afraid|sorry))\b[^.!?]{{0,30}}?)?"
            rf"\bi ?{_CAN_NOT} {_NOT_A_FIGURE}",
            rf"\b(?:request|question|so)\b[^.!?]{{0,40}}?\bi ?{_CAN_NOT}{_HELP}",
            rf"\b(?:some|any)thing (?:that )?i ?(?:{_CAN_NOT}|can|am able to|'m able to)"
            r"(?: to)? (?:help|assist|do|discuss|answer|provide|support)",
            r"\bi(?: (?:do not|don't) feel comfortable| feel uncomfortable"
            r"|(?:'m| am) not comfortable|(?:'m| am) uncomfortable)"
            r" (?:answering|with (?:this|that)|providing|discussing|helping|sharing|writing)",
            r"\bi(?: must|(?:'ll)? have to|(?: wi|')ll| need to|'d prefer to|'d rather)"
            r" (?:respectfully |politely )?(?:decline|refuse|pass on)",
            r"\bi(?:'d| would) (?:rather|prefer) not|\bi(?:'m| am) not (?:programmed|designed) to",
            r"\bi do(?:n't| not) have (?:the (?:ability|capability|capacity)|personal|access to"
            r"|real-time|feelings|opinions|the means)",
            r"\b(?:against|not within|outside(?: of)?|beyond|contrary to) (?:what i(?:'m| am) able"
            r"|what i can|my (?:programming|guidelines|ethical|principles|policies|scope|capabilit"
            r"|abilit))",
            r"violates? (?:openai|our|my)(?:'s)? (?:\w+ )?(?:policy|policies|guidelines)",
            r"\b(?:not (?:be )?(?:appropriate|ethical|right|responsible)|unethical|inappropriate"
            r"|irresponsible) (?:for me )?to (?:write|provide|help|assist|answer|give|share|discuss"
            r"|generate|create|make|offer|engage|speculate|comment)",
        )
    ),
    re.IGNORECASE,
)
# One of these is in all of them, or the answer begins with I; most answers have none.
_MARKS = (
    *(
        " ai",
        "artificial",
        "language model",
        "sorry",
        "apolog",
        "unfortunately",
        "regret",
        "i must",
    ),
    *("programmed", "violate", "ethical", "appropriate", "comfortable", "request", "question"),
    *("thing i", "thing that i", "decline", "refuse", "rather not", "prefer not", "against my"),
    *("have the", "have personal", "have access", "outside", "beyond", "responsible", "so i"),
)
_I = ("i ", "i'", "ic", "ia", "iw")


def look(example: Example) -> Hit | None:
    """Return an answer that refuses."""
    for answer in example.answers:
        head = answer[:HEAD].lower().replace("\u2019", "'").lstrip()
        if head[:2] in _I or holds(head, _MARKS):
            if _REFUSES.search(head):
                return Hit("the answer refuses", answer)
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
