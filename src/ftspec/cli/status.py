"""`ftspec status`: where the newest run of a project stands."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ftspec.cli.failure import CannotReadError
from ftspec.cli.output import command, print_json
from ftspec.runtime.progress import Progress, progress
from ftspec.runtime.project import NotAProjectError, read_plan
from ftspec.runtime.state import OtherLayoutError
from ftspec.runtime.summary import duration, summary

HINT = "start one: ftspec run PROJECT"


@click.command()
@click.argument("project", default=".")
@click.option("--run", "number", type=click.IntRange(1), help="Which run; the newest if left out.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def status(project: str, number: int | None, as_json: bool) -> int:
    """Say where a run stands: whether it trains, how far it is, what was changed."""
    folder = Path(project)
    found, plan = looked_at(folder, number)
    if as_json:
        print_json(found.as_json())
        return 0
    print(f"run {found.run.number}: {_state(found)}")
    for line in (*_now(found), *summary(found, plan)):
        print(line)
    print(f"next: {_next(project, found)}")
    return 0


def looked_at(project: Path, number: int | None = None) -> tuple[Progress, dict[str, Any]]:
    """Return where a run stands, with the plan. Raises CannotReadError where there is none."""
    try:
        plan = read_plan(project)
        found = progress(project, number)
    except NotAProjectError as error:
        raise CannotReadError(str(error), "name a project folder") from None
    except OtherLayoutError as error:
        raise CannotReadError(str(error)) from None
    if found is None:
        which = "has no run yet" if number is None else f"has no run {number}"
        raise CannotReadError(f"`{project}` {which}", HINT)
    return found, plan


def _state(found: Progress) -> str:
    child, records = found.child, found.ledger["attempts"]
    if child is not None:
        where = f" on {child.host}" if child.elsewhere else ""
        alone = "" if found.supervisor else "; nobody follows it"
        return f"trains (process {child.pid}{where}){alone}"
    if found.state == "lost":
        return "ended while nobody followed it"
    if found.state == "running":
        return "between two attempts"
    reason = records[-1].get("reason") if records else None
    return f"{found.state}: {reason}" if reason and reason != found.state else found.state


def _now(found: Progress) -> Iterator[str]:
    if found.child is None or found.last is None:
        return
    age = max(0.0, time.time() - float(found.last.get("time") or 0))
    yield f"  {'last sign':<12}{found.last['event']}, {duration(age)} ago"
    if found.seconds_left is not None:
        yield f"  {'time left':<12}about {duration(found.seconds_left)}"


def _next(project: str, found: Progress) -> str:
    if found.child is not None and found.supervisor is not None:
        return f"{command('logs', project, '-f')}, or {command('stop', project)}"
    if found.child is not None:
        return f"{command('run', project)}   (follows it)"
    if found.state == "finished":
        return command("diagnose", project)
    return f"{command('run', project)}   (goes on with it)"
