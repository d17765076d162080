"""A chat template that does not render the data.

What it finds
    Rows that the model's chat template raises on: a system message where it takes none, two
    turns of one role in a row, a template that is not Jinja.

Why it matters
    The run would stop at the first such row.

Evidence it needs
    The tokenizer's chat template and the rows.

Example
    Gemma's template with `data.system` set: it refuses the role.

What to do
    Remove what the template refuses, or give another under `model.chat_template`.

References
    transformers: chat templating.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(message: str) -> Iterator[Finding]:
    """Yield the finding."""
    yield RULE.finding(
        message,
        route=("data", "train"),
        found="rendered for each row",
        help="change the rows or `data.system`, or give `model.chat_template`",
    )


RULE = Rule("FT167", "template-refuses", Severity.ERROR, find)
