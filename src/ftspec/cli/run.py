"""`ftspec run`: train, in a child process that is followed to its end."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from ftspec.cli.build import plan_of, write_project
from ftspec.cli.failure import CannotReadError, RunFailedError
from ftspec.cli.inputs import data_option, hardware_options
from ftspec.runtime.live import PlainView, view_for
from ftspec.runtime.state import read_ledger
from ftspec.runtime.supervise import (
    Ended,
    NotAProjectError,
    last_words,
    missing_libraries,
    supervise,
)


@click.command()
@click.argument("target")
@click.option("--new", is_flag=True, help="Start another run instead of going on with the last.")
@click.option("--force", is_flag=True, help="Rebuild over edited files, keeping them as .bak.")
@click.option("--python", metavar="PATH", default=sys.executable, help="The Python to train with.")
@click.option("-o", "--output", metavar="DIR", help="The project folder, for a spec.")
@click.option("--json", "as_json", is_flag=True, help="Print the run's ledger as JSON at the end.")
@hardware_options
@data_option
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
) -> int:
    """Run a project folder, or build a spec and run it.

    Goes on with the newest unfinished run. Ctrl-C saves a checkpoint; running again resumes.
    """
    project = Path(target)
    if not project.is_dir():
        found = plan_of(target, output, gpu, vram, count, data)
        if found is None:
            return 1
        plan, project = found
        if not write_project(project, plan, force=force).written:
            return 1
    lacking = missing_libraries(python)
    if lacking:
        raise RunFailedError(
            f"training needs {', '.join(lacking)}, which this Python does not have",
            "pip install 'ftspec[train]', or --python with one that has them",
        )
    ended = run_project(project, new=new, python=python, quiet=as_json)
    if as_json:
        print(json.dumps(read_ledger(ended.run), indent=2))
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
    except OSError as error:
        raise RunFailedError(f"`{project}` cannot be written: {error.strerror}") from None
    finally:
        view.close()
    if not quiet:
        print(_words(project, ended))
    if ended.state == "failed":
        print(last_words(ended.run), file=sys.stderr)
        print(f"everything it printed: {ended.run.output}", file=sys.stderr)
    return ended


def _words(project: Path, ended: Ended) -> str:
    number = ended.run.number
    match ended.state:
        case "finished":
            final = ended.run.path / "final"
            return f"run {number}: {ended.reason}: {final}\nnext: ftspec diagnose {project}"
        case "stopped":
            return f"run {number}: {ended.reason}\nnext: ftspec run {project}   (goes on with it)"
    return f"run {number} failed: {ended.reason}\nnext: ftspec diagnose {project}"
