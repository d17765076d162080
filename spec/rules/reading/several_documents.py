"""Two YAML documents in one file.

What it finds
    A second document after a `---` line.

Why it matters
    Only one of them could be meant; reading the first in silence would drop the other.

Evidence it needs
    The text of the spec.

Example
    ```yaml
    model: gpt2
    ---
    model: gpt2-medium
    ```

What to do
    Put each spec into a file of its own.

References
    YAML 1.2.2, 9.2 (streams).
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(subject: tuple[int, int]) -> Iterator[Finding]:
    """Yield the finding."""
    yield RULE.finding(
        "the file holds a second document",
        span=subject,
        found="starts here",
        help="put each spec into a file of its own",
    )


RULE = Rule("FT009", "several-documents", Severity.ERROR, find)
