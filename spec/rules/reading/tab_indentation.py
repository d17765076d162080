"""A tab where YAML wants spaces.

What it finds
    A tab in the indentation of a line.

Why it matters
    YAML forbids tabs there, since their width is nobody's business; most parsers answer with a
    message that does not say so.

Evidence it needs
    The text of the spec.

Example
    Where `\\t` is a tab:

    ```yaml
    method:
    \\ttype: lora
    ```

What to do
    Indent by two spaces.

References
    YAML 1.2.2, 6.1 (indentation spaces).
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(at: int) -> Iterator[Finding]:
    """Yield the finding."""
    yield RULE.finding(
        "a tab indents this line",
        span=(at, at + 1),
        found="a tab",
        help="indent by spaces: two for each level",
    )


def tab_before(text: str, at: int) -> int | None:
    """Return where a tab stands in the indentation of the line at `at`, or of the one before."""
    line_start = text.rfind("\n", 0, at) + 1
    for start in (line_start, text.rfind("\n", 0, max(0, line_start - 1)) + 1):
        end = text.find("\n", start)
        line = text[start : end if end >= 0 else len(text)]
        blank = line[: len(line) - len(line.lstrip())]
        if "\t" in blank:
            return start + blank.index("\t")
    return None


RULE = Rule("FT003", "tab-indentation", Severity.ERROR, find)
