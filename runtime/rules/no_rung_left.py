"""Memory ran out, and nothing is left that may be given up.

What it finds
    A run out of memory after which no rung of the ladder is left, or none that is allowed.

Why it matters
    Another attempt would end as the last did, so none is made.

Evidence it needs
    The phase, the constants that were in force, and `tune.allow`.

Example
    A micro-batch of one row, with activation checkpointing, and `tune.allow: []`.

What to do
    Allow more (`tune.allow: [quantize, shorten]`), or take a larger card: `ftspec check` says
    which are large enough. Full fine-tuning does not turn into adapters under way: what it has
    learnt lies in the weights, so that is another spec and another run. Out of *host* memory on a
    machine with cards, free host memory.

References
    CONTRACT.md 2; docs/tuning.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.runtime.rules.trouble import Trouble
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(seen: Trouble) -> Iterator[Finding]:
    """Yield the finding."""
    leaves = ", ".join(seen.refused)
    helps = f"allow what would help: `tune.allow: [{leaves}]`" if leaves else ""
    if seen.full and not leaves:  # what it has learnt are the weights themselves
        helps = "`method: qlora` needs less: another run, of adapters; or take a larger card"
    if seen.where == "host":
        helps = "free host memory, or take a machine with more"
    yield RULE.finding(
        f"nothing is left to give up: out of {seen.where} memory in phase {seen.phase}",
        route=("tune", "allow"),
        help=helps or "take a card with more memory; `ftspec check` names one",
        evidence={"phase": seen.phase, "where": seen.where, "refused": list(seen.refused)},
    )


RULE = Rule("FT311", "no-rung-left", Severity.ERROR, find)
