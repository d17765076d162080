"""`ftspec run`: train, in a child process that is followed to its end."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ftspec.cli.build import plan_of, write_project
from ftspec.cli.failure import CannotReadError, RunFailedError
from ftspec.cli.inputs import allow_option, data_option, fail_on_option, hardware_options
from ftspec.cli.output import command, print_json
from ftspec.cli.python import need_libraries, python_option
from ftspec.cli.question import yes_option
from ftspec.runtime.live import PlainView, view_for
from ftspec.runtime.state import read_ledger
from ftspec.runtime.supervise import (
    Ended,
    NotAProjectError,
    SeveralMachinesError,
    supervise,
)


@click.command()
@click.argument("target")
@click.option("--new", is_flag=True, help="Start another run instead of going on with the last.")
@click.option("--force", is_flag=True, help="Rebuild over edited files, keeping them as .bak.")
@python_option
@click.option("-o", "--output", metavar="DIR", help="The project folder, for a spec.")
@click.option("--json", "as_json", is_flag=True, help="Print the run's ledger as JSON at the end.")
@hardware_options
@data_option
@allow_option
@yes_option
@fail_on_option("error")
def run(
    target: str,
    new: bool,
    force: bool,
    python: str,
    output: str | None,
    as_json: bool,
    gpu: str | None,
    vram: str | None,
    count: int | None,
    data: str | None,
    allow: tuple[str, ...],
    yes: bool,
    fail_on: str,
) -> int:
    """Run a project folder, or build a spec and run it.

    Goes on with the newest unfinished run. Ctrl-C saves a checkpoint; running again resumes.
    """
    project = Path(target)
    options = (gpu, vram, count, data, output, allow or None)
    if project.is_dir() and any(option is not None for option in options):
        raise click.UsageError(
            "A project is run as it was built: --gpu, --vram, --count, --data, --allow and -o go"
            " with a spec."
        )
    if not project.is_dir():
        found = plan_of(target, output, gpu, vram, count, data, fail_on, allow, yes=yes)
        if found is None:
            return 1
        plan, project = found
        if not write_project(project, plan, force=force).written:
            return 1
    need_libraries(python)
    ended = run_project(project, new=new, python=python, quiet=as_json)
    if as_json:
        print_json(read_ledger(ended.run))
    return 130 if ended.interrupted else 0 if ended.state == "finished" else 1


def run_project(
    project: Path, *, new: bool = False, python: str = sys.executable, quiet: bool = False
) -> Ended:
    """Run a project with a view on it, and say how it ended."""
    view = PlainView() if quiet else view_for(sys.stderr)
    try:
        ended = supervise(project, view, new=new, python=python)
    except NotAProjectError as error:
        raise CannotReadError(str(error), "build one: ftspec build SPEC -o DIR") from None
    except SeveralMachinesError as error:
        hint = f"start it on each, as {project / 'README.md'} says"
        raise RunFailedError(str(error), hint) from None
    except OSError as error:
        raise RunFailedError(f"`{project}` cannot be written: {error.strerror}") from None
    finally:
        view.close()
    if ended.state == "failed":
        print(ended.words, file=sys.stderr)
        print(f"(all that it printed: {ended.run.output})", file=sys.stderr)
    if not quiet:
        print(_words(project, ended))
    return ended


def _words(project: Path, ended: Ended) -> str:
    number, again = ended.run.number, command("run", str(project))
    diagnose = f"next: {command('diagnose', str(project))}"
    match ended.state:
        case "finished":
            more = f", or {again} --new" if ended.nothing_to_do else ""
            return f"run {number}: {ended.reason}: {ended.run.path / 'final'}\n{diagnose}{more}"
        case "stopped":
            return f"run {number}: {ended.reason}\nnext: {again}   (goes on with it)"
    if not ended.run.events.exists():
        diagnose = f"next: {again}   (once what it says is mended)"
    return f"run {number} failed: {ended.reason}\n{diagnose}"
