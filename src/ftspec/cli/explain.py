"""`ftspec explain`: the page of a rule."""

from __future__ import annotations

import difflib
from typing import Any

import click

from ftspec.cli.topics import TOPICS
from ftspec.compiler.rules.catalogue import FACT_RULES
from ftspec.doctor.curves.rules import CURVE_RULES
from ftspec.doctor.data.catalogue import DATA_RULES
from ftspec.runtime.rules.catalogue import RUN_RULES
from ftspec.spec.rule import Rule
from ftspec.spec.rules.catalogue import ALL_RULES as SPEC_RULES


def every_rule() -> tuple[Rule[Any], ...]:
    """Return all rules of all parts, sorted by code."""
    rules: tuple[Rule[Any], ...] = (*SPEC_RULES, *FACT_RULES, *RUN_RULES, *CURVE_RULES, *DATA_RULES)
    return tuple(sorted(rules, key=lambda rule: rule.code))


@click.command()
@click.argument("code", required=False)
def explain(code: str | None) -> int:
    """Print the page of a rule or a topic, by its code or name; without one, the list."""
    rules = every_rule()
    if code is None:
        width = max(len(rule.name) for rule in rules)
        for rule in rules:
            print(f"{rule.code}  {rule.name:<{width}}  {rule.summary}")
        for name, page in TOPICS.items():
            print(f"topic  {name:<{width}}  {page.splitlines()[0]}")
        return 0
    wanted = code.strip().lower()
    if wanted in TOPICS:
        print(TOPICS[wanted])
        return 0
    found = [rule for rule in rules if wanted in (rule.code.lower(), rule.name)]
    if found:
        heads = (f"{rule.code} {rule.name} ({rule.severity.value})" for rule in found)
        pages = (f"{head}\n\n{rule.page}" for head, rule in zip(heads, found, strict=True))
        print("\n\n\n".join(pages))
        return 0
    names = [*TOPICS, *(name for rule in rules for name in (rule.code.lower(), rule.name))]
    near = difflib.get_close_matches(wanted, names, n=1)
    hint = f" Did you mean `{near[0]}`?" if near else " `ftspec explain` lists all."
    raise click.UsageError(f"No rule `{code}`.{hint}")
