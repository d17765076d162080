"""A path that no file system takes.

What it finds
    A path of the spec that holds a NUL character, a part longer than 255 bytes, or the home
    folder of a user who does not exist.

Why it matters
    Nothing can be read from there, or written to it.

Evidence it needs
    The paths under `model`, `data` and `output`.

Example
    ```yaml
    output: "support\\0bot"
    ```

What to do
    Write another path. Paths are relative to the spec's folder.

References
    POSIX, `limits.h`: NAME_MAX.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Finding, Route, Severity
from ftspec.spec.rule import Rule


def find(subject: tuple[Route, str]) -> Iterator[Finding]:
    """Yield the finding."""
    route, reason = subject
    yield RULE.finding(
        "no file can have this path",
        route=route,
        found=reason,
        help="write another path; it is relative to the spec's folder",
        evidence={"reason": reason},
    )


RULE = Rule("FT174", "unusable-path", Severity.ERROR, find)
