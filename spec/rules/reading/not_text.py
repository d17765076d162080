"""A spec that is not UTF-8 text.

What it finds
    Bytes that are not UTF-8 (or UTF-16 with a byte-order mark), or characters that YAML does
    not allow, such as NUL.

Why it matters
    Nothing can be read from such a file; a binary file was probably named by mistake.

Evidence it needs
    The bytes of the file.

Example
    `ftspec check model.safetensors`

What to do
    Save the spec as UTF-8. A byte-order mark does no harm.

References
    YAML 1.2.2, chapter 5 (character productions).
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(subject: tuple[int, object]) -> Iterator[Finding]:
    """Yield the finding."""
    position, character = subject
    shown = f"0x{character:02x}" if isinstance(character, int) else repr(character)
    yield RULE.finding(
        "the spec is not UTF-8 text",
        help="save the file as UTF-8",
        evidence={"position": position, "character": shown},
        found=f"{shown} at position {position}",
    )


RULE = Rule("FT001", "not-text", Severity.ERROR, find)
