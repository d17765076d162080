"""A card that is not in the catalogue.

What it finds
    A name under `hardware.gpu`, or after `--gpu`, that fits no known card.

Why it matters
    Nothing can be said of memory or speed on a card that is not known.

Evidence it needs
    The name.

Example
    `ftspec check train.yaml --gpu rtx-4091`

What to do
    Write one of the names in the help line, or give the memory alone: `--vram 24GiB`.

References
    The catalogue: `compiler/facts/gpus.json`.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.compiler.facts.gpus import nearest_names, other_maker
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(text: str) -> Iterator[Finding]:
    """Yield the finding."""
    maker = other_maker(text)
    near = () if maker else nearest_names(text)
    known = ", ".join(f"`{name}`" for name in near)
    unmeasured = f"nothing was measured on {maker}'s cards, and none is listed. " if maker else ""
    yield RULE.finding(
        f"the card `{text}` is not known",
        route=("hardware", "gpu"),
        found="no such card",
        help=unmeasured
        + (f"did you mean {known}? " if known else "")
        + "A card that is not listed can be given by its memory: --vram 24GiB",
        evidence={"name": text, "nearest": list(near)},
    )


RULE = Rule("FT162", "unknown-gpu", Severity.ERROR, find)
