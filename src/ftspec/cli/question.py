"""Questions at a terminal: what makes a run fit and changes what is learnt needs a yes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ftspec.compiler.rules.does_not_fit import patched
from ftspec.compiler.tune.fit import Misfit

Function = TypeVar("Function", bound=Callable[..., Any])


def yes_option(function: Function) -> Function:
    """Add --yes."""
    return click.option(
        "--yes", "-y", is_flag=True, help="Take what makes it fit, without a question."
    )(function)


def yes_to(misfit: Misfit | None, *, assume: bool) -> tuple[str, ...]:
    """Return the leaves that the user gives for the mildest way out; none where there is no way.

    Asked on standard error, at a terminal alone; `assume`: the answer is yes.
    """
    if misfit is None or misfit.memory.verdict != "no" or not misfit.prescriptions:
        return ()
    prescription, leaves = misfit.prescriptions[0], misfit.leaves[0]
    if not leaves:  # `tune.memory: suggest` wants nothing changed
        return ()
    if assume:
        return leaves
    if not at_a_terminal():
        return ()
    print(f"It does not fit. {prescription.reason}: {prescription.expect}.", file=sys.stderr)
    question = f"Take {patched(prescription)}?"
    return leaves if click.confirm(question, default=False, err=True) else ()


def at_a_terminal() -> bool:
    """Whether somebody is there to be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()
