"""A chat template that is neither a file nor Jinja.

What it finds
    `model.chat_template` with a path where no file lies.

Why it matters
    Conversations cannot be rendered.

Evidence it needs
    The value, and the folder of the spec.

Example
    ```yaml
    model: {name: gpt2, chat_template: chatml.jinja}
    ```

What to do
    Mend the path, which is relative to the spec's folder, or write the template itself.

References
    transformers: chat templating.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(asked: str) -> Iterator[Finding]:
    """Yield the finding."""
    yield RULE.finding(
        f"there is no chat template `{asked[:60]}`",
        route=("model", "chat_template"),
        found="neither a file nor Jinja",
        help="the path is relative to the spec's folder; inline Jinja holds `{{` or `{%`",
    )


RULE = Rule("FT166", "template-missing", Severity.ERROR, find)
