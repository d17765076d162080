"""A soft prompt that starts from a text, without one or against the word.

What it finds
    `init_text` beside `init: vocab` or `init: random`, or `init: text` without an `init_text`,
    where the method is `prompt`.

Why it matters
    In the first case the text would be dropped in silence, in the second there is nothing to
    start from.

Evidence it needs
    `method.type`, `method.init` and `method.init_text`.

Example
    ```yaml
    method: {type: prompt, init: vocab, init_text: "Answer politely."}
    ```

What to do
    Write `init: text` together with `init_text`; or leave `init` out, which then follows
    `init_text`.

References
    peft 0.21 `tuners/prompt_tuning/config.py`: "When prompt_tuning_init='TEXT',
    prompt_tuning_init_text can't be None"; the text is "only used if `prompt_tuning_init` is
    `TEXT`".
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule


def find(spec: Spec) -> Iterator[Finding]:
    """Yield the finding at `init`."""
    method = spec.method
    if method.type != "prompt" or method.init is None:
        return
    if method.init == "text" and method.init_text is None:
        yield RULE.finding(
            "`init: text` has no `init_text` to start from",
            route=("method", "init"),
            found="no text is there",
            help='add `init_text: "…"`, the instruction to start from; or write `init: vocab`',
            prescriptions=(
                Prescription(
                    (Edit("method.init", "text", "vocab"),),
                    "without a text, words of the vocabulary are drawn",
                ),
            ),
        )
    elif method.init != "text" and method.init_text is not None:
        yield RULE.finding(
            f"`init: {method.init}` does not read `init_text`",
            route=("method", "init"),
            found="the text would be dropped",
            help="write `init: text`, or delete `init_text`",
            evidence={"init": method.init, "init_text": method.init_text},
            prescriptions=(
                Prescription(
                    (Edit("method.init", method.init, "text"),),
                    "the prompt starts from `init_text` then",
                ),
            ),
        )


RULE = Rule("FT128", "init-text-mismatch", Severity.ERROR, find)
