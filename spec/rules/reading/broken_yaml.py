"""Text that YAML cannot read.

What it finds
    The first place where the text stops being YAML: a bracket or quote left open, a value
    without a space after its colon, an indentation that fits no parent.

Why it matters
    Nothing after that place can be trusted, so the rest of the spec is not judged.

Evidence it needs
    The text of the spec.

Example
    ```yaml
    model: "gpt2
    method: lora
    ```

What to do
    Mend the line that is shown; the fault is often at the end of the line before.

References
    YAML 1.2.2.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(subject: tuple[str, str, int, str]) -> Iterator[Finding]:
    """Yield the finding."""
    problem, context, at, text = subject
    if at >= len(text):  # the text ended too early: show its last line
        at = max(0, len(text.rstrip()) - 1)
    yield RULE.finding(
        "the spec is not valid YAML",
        span=(at, at + 1),
        found=problem,
        help=hint(problem, context),
        evidence={"problem": problem, "context": context},
    )


def hint(problem: str, context: str) -> str:
    """Say what to type for the parser's commonest complaints."""
    if "quoted scalar" in context or "quoted scalar" in problem:
        return "close the quote"
    if "flow sequence" in context or "flow mapping" in context:
        return "close the bracket, and part the values by commas"
    if "mapping values are not allowed" in problem:
        return "quote a value that holds `: `, or indent the key under its parent by spaces"
    if "could not find expected ':'" in problem:
        return "write `key: value`, with a space after the colon"
    if "expected <block end>" in problem:
        return "give keys of one section the same indentation"
    if "scanning an anchor" in context:
        return "quote the value: YAML reads a leading `&` as an anchor"
    if "\\t" in problem:
        return "write a space instead of the tab"
    if "cannot start any token" in problem:
        return "quote the value: it starts with a character that YAML reserves"
    return "mend this line, or the end of the line before"


RULE = Rule("FT002", "broken-yaml", Severity.ERROR, find)
