"""Memory that cannot be predicted here.

What it finds
    A model whose shape is not known on this machine, or whose architecture is not covered.

Why it matters
    An answer made up would be worse than none.

Evidence it needs
    The model's config.

Example
    A hub id that is not in the catalogue, without a network.

What to do
    Name a folder that holds the model's `config.json`; a config alone is enough.

References
    `ftspec check` needs no weights.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.compiler.facts.model import ModelFacts
from ftspec.compiler.plan import MemoryPlan
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(subject: tuple[MemoryPlan, ModelFacts]) -> Iterator[Finding]:
    """Yield the finding."""
    memory, model = subject
    if memory.verdict != "unknown":
        return
    yield RULE.finding(
        f"memory cannot be predicted: {memory.note}",
        route=("model", "name"),
        found="no answer",
        help="name a folder that holds the model's config.json"
        if model.shape is None
        else "the scripts can still be built",
    )


RULE = Rule("FT203", "memory-unknown", Severity.WARNING, find)
