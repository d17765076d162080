"""`ftspec build`: write the scripts of a spec into a project folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click

from ftspec.cli.failure import CannotReadError, Failure
from ftspec.cli.inputs import (
    allow_option,
    allowing,
    data_option,
    exit_code,
    fail_on_option,
    hardware_options,
    live_tracer,
    placed,
    read_spec,
    show_findings,
)
from ftspec.cli.output import command
from ftspec.cli.paint import painter
from ftspec.cli.question import yes_option, yes_to
from ftspec.compiler.emit import emit
from ftspec.compiler.plan import Plan
from ftspec.compiler.project import Outcome, Status, write

STYLES = {
    Status.CREATE: "green",
    Status.IDENTICAL: "dim",
    Status.CHANGED: "yellow",
    Status.CONFLICT: "bold red",
    Status.REMOVED: "yellow",
}


@click.command()
@click.argument("spec", required=False)
@click.option("-o", "--output", metavar="DIR", help="The project folder.")
@click.option("--from-plan", metavar="FILE", help="Build from a plan.json instead of a spec.")
@click.option("--force", is_flag=True, help="Overwrite edited files, keeping them as .bak.")
@hardware_options
@data_option
@allow_option
@yes_option
@fail_on_option("error")
def build(
    spec: str | None,
    output: str | None,
    from_plan: str | None,
    force: bool,
    gpu: str | None,
    vram: str | None,
    count: int | None,
    data: str | None,
    allow: tuple[str, ...],
    yes: bool,
    fail_on: str,
) -> int:
    """Compile a spec to a folder of scripts that need no ftspec.

    Files that were edited since they were written are never overwritten without --force.
    """
    if (spec is None) == (from_plan is None):
        raise click.UsageError("Give a spec, or --from-plan with a plan.json.")
    if from_plan is not None:
        plan = load_plan(Path(from_plan))
        folder = Path(output) if output else Path(from_plan).parent
    else:
        assert spec is not None
        found = plan_of(spec, output, gpu, vram, count, data, fail_on, allow, yes=yes)
        if found is None:
            return 1
        plan, folder = found
    outcome = write_project(folder, plan, force=force)
    if not outcome.written:
        return 1
    print(f"next: {command('run', str(folder))}")
    return 0


def plan_of(
    spec: str,
    output: str | None,
    gpu: str | None,
    vram: str | None,
    count: int | None,
    data: str | None,
    fail_on: str = "error",
    allow: Sequence[str] = (),
    *,
    yes: bool = False,
) -> tuple[Plan, Path] | None:
    """Compile a spec that is to be built; None where findings stand against it (shown).

    What makes it fit and changes what is learnt is asked for at a terminal; `yes` is the answer.
    """
    from ftspec.compiler.pipeline import compile_spec

    parsed, root = read_spec(spec, data, allow)
    if spec == "-" and output is None and not (parsed.spec and parsed.spec.output):
        raise click.UsageError("A spec from standard input needs a project folder: -o DIR.")
    parsed, hardware = placed(parsed, gpu, vram, count)
    project = Path(output) if output else None
    made = partial(
        compile_spec,
        root=root,
        hardware=hardware,
        project=project,
        needs_data=True,
        tracer=live_tracer(),
    )
    compiled = made(parsed)
    leaves = yes_to(compiled.misfit, assume=yes)
    if leaves and parsed.spec is not None:
        parsed = allowing(parsed, (*parsed.spec.tune.allow, *leaves))
        compiled = made(parsed)
    show_findings(compiled.findings, parsed, sys.stderr)
    if compiled.plan is None or exit_code(compiled.findings, fail_on):
        return None
    return compiled.plan, compiled.project


def load_plan(path: Path) -> Plan:
    """Read a plan.json. Raises CannotReadError where it is none, or of another version."""
    from pydantic import ValidationError

    try:
        return Plan.model_validate_json(path.read_bytes())
    except OSError as error:
        raise CannotReadError(f"`{path}` cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise CannotReadError(
            f"`{path}` is not a plan of this version: {where}: {first['msg']}"
        ) from None


def write_project(folder: Path, plan: Plan, *, force: bool = False) -> Outcome:
    """Write a project, and say for each file what became of it."""
    try:
        outcome = write(folder, emit(plan), force=force)
    except OSError as error:
        raise Failure(f"`{folder}` cannot be written: {error.strerror}") from None
    paint = painter(sys.stderr)
    for name, status in outcome.files.items():
        word, kept = status.value, ""
        if status is Status.CONFLICT and outcome.written:
            word, kept = "replaced", f"  (yours is {name}.bak)"
        print(f"{paint(f'{word:>9}', STYLES[status])}  {folder / name}{kept}", file=sys.stderr)
    if not outcome.written:
        print(
            "error: nothing was written: the files in conflict have edits of yours\n"
            "  = help: move the edits away, or give --force (the edited files stay as .bak)",
            file=sys.stderr,
        )
    return outcome
