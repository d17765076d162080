"""Scripts that would have to be compiled anew, and that the user has edited.

What it finds
    A rung that needs other code (a base in 4 bits), in a project whose scripts are not as they
    were written.

Why it matters
    Compiled anew, the scripts would be without the edits. They are yours, and are left alone.

Evidence it needs
    `.ftspec.json`, which holds the hash of each file as it was written.

Example
    `train.py` with a callback of your own, and a run that is out of memory with one row a batch.

What to do
    Apply the difference that is shown to your scripts, or move the edits into the spec and build
    anew.

References
    CONTRACT.md 4.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.runtime.rules.trouble import Trouble
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(seen: Trouble) -> Iterator[Finding]:
    """Yield the finding."""
    names = ", ".join(f"`{name}`" for name in seen.edited)
    yield RULE.finding(
        f"the next rung needs other code than {names}, which you have edited",
        help="apply the difference to your scripts, and run again",
        evidence={"files": list(seen.edited), "difference": seen.difference},
    )


RULE = Rule("FT312", "edited-project", Severity.ERROR, find)
