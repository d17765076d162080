"""Answers that only say the prompt again.

What it finds
    Answers equal to the prompt or to its instruction, but for case and spaces, and answers that
    begin with the whole of a prompt of 40 characters and more. Prompts that ask for it (repeat,
    copy, echo, continue, complete, correct, rewrite, format) are left out.

Why it matters
    The model learns to answer a question with the question.

Evidence it needs
    One row.

Example
    ```
    {"instruction": "Name the largest planet.", "output": "Name the largest planet."}
    ```

What to do
    Write the answer, or cut the prompt off its front.

References
    OpenAI cookbook, Chat_finetuning_data_prep.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ftspec.doctor.data.example import Example, squeezed
from ftspec.doctor.data.hits import Hit, Hits, told
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

_ASKED = re.compile(
    r"\b(?:repeat|copy|echo|continu|complet|finish|correct|rewrit|edit|format|punctuat"
    r"|capitali[sz]|fix|extend|proofread|grammar|reformat|fill|verbatim|code|function"
    r"|transcri|add |insert|convert|say (?:after|this|it back))",
    re.IGNORECASE,
)
EQUAL, BEGINS = 12, 40  # characters of a prompt that is judged
ASKED = 80  # characters of a prompt in which it says what is asked for


def look(example: Example) -> Hit | None:
    """Return an answer that says the prompt again."""
    answer = example.answer
    prompt = example.prompt
    # A first glance at a few characters: nearly all rows end here.
    start = prompt.lstrip()[:8].lower()
    if len(start) < 8 or not answer.lstrip()[:8].lower() == start or len(prompt) < EQUAL:
        return None
    if len(example.answers) > 1 or _ASKED.search(prompt[:ASKED]):
        return None
    said, asked = squeezed(answer), squeezed(prompt)
    own = squeezed(prompt[: len(prompt) - len(example.input)] if example.input else prompt)
    if said in (asked, own) and len(said) >= EQUAL:
        return Hit("the answer is the prompt", answer)
    if len(own) >= BEGINS and said.startswith(own):
        return Hit("the answer begins with the whole prompt", answer)
    return None


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for answers that repeat the prompt."""
    yield from told(
        RULE,
        hits,
        "{rows} {have} an answer that repeats the prompt",
        help="write the answer, or cut the prompt off its front",
        confidence=0.9,
    )


RULE = Rule("FT544", "answer-repeats-prompt", Severity.WARNING, find)
