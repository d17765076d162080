"""`ftspec run`: train, in a child process that is followed to its end."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import click

from ftspec.cli.build import plan_of, write_project
from ftspec.cli.failure import CannotReadError, RunFailedError
from ftspec.cli.inputs import allow_option, data_option, fail_on_option, hardware_options
from ftspec.cli.output import command, print_json
from ftspec.cli.python import need_libraries, python_option
from ftspec.cli.question import yes_option
from ftspec.cli.report_page import write_report
from ftspec.runtime.live import PlainView, view_for
from ftspec.runtime.lock import AlreadyRunningError, holder_of
from ftspec.runtime.progress import progress
from ftspec.runtime.project import NotAProjectError, read_plan
from ftspec.runtime.state import OtherLayoutError, read_ledger
from ftspec.runtime.summary import summary
from ftspec.runtime.supervise import Ended, SeveralMachinesError, supervise

SUPERVISOR_LOG = "supervisor.log"  # what a supervisor in the background says
STARTS_SECONDS = 60
OTHER_LAYOUT = "use the version that wrote it, or start another run in a fresh project folder"


@click.command()
@click.argument("target")
@click.option("--new", is_flag=True, help="Start another run instead of going on with the last.")
@click.option("--detach", is_flag=True, help="Train in the background; see status, logs, stop.")
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
    detach: bool,
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

    Goes on with the newest unfinished run, or follows it where it still trains. Ctrl-C saves a
    checkpoint; running again resumes.
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
    if detach:
        return in_background(project, new=new, python=python)
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
    except AlreadyRunningError as error:
        raise RunFailedError(str(error), command("status", str(project))) from None
    except OtherLayoutError as error:
        raise CannotReadError(str(error), OTHER_LAYOUT) from None
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
    head, last = f"run {number} failed: {ended.reason}", diagnose
    if ended.state == "finished":
        more = f", or {again} --new" if ended.nothing_to_do else ""
        head = f"run {number}: {ended.reason}: {ended.run.path / 'final'}"
        last = f"{diagnose}{more}"
    elif ended.state == "stopped":
        head = f"run {number}: {ended.reason}"
        last = f"next: {again}   (goes on with it)"
    elif not ended.run.events.exists():
        last = f"next: {again}   (once what it says is mended)"
    told: list[str] = []
    found = progress(project, number)
    if found is not None and not ended.nothing_to_do:
        plan = read_plan(project)
        told = summary(found, plan)
        page = write_report(found, plan) if ended.run.events.exists() else None
        told += [f"  {'report':<12}{page}"] if page else []
    return "\n".join([head, *told, last])


def in_background(project: Path, *, new: bool, python: str) -> int:
    """Start a supervisor in a session of its own, and say so once it has the project."""
    try:
        read_plan(project)
    except NotAProjectError as error:
        raise CannotReadError(str(error), "build one: ftspec build SPEC -o DIR") from None
    if (holder := holder_of(project)) is not None:
        raise RunFailedError(str(AlreadyRunningError(holder)), command("status", str(project)))
    words = [sys.executable, "-m", "ftspec", "run", str(project), "--python", python]
    log = project / SUPERVISOR_LOG
    with log.open("wb") as said:
        child = subprocess.Popen(
            [*words, *(["--new"] if new else [])],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    until = time.monotonic() + STARTS_SECONDS
    while child.poll() is None and time.monotonic() < until:
        found = progress(project)
        if holder_of(project) is not None and found is not None and found.child is not None:
            print(f"run {found.run.number} trains in the background (process {found.child.pid})")
            print(f"next: {command('logs', str(project), '-f')}, or status, or stop")
            child.returncode = 0  # nobody waits for it
            return 0
        time.sleep(0.05)
    print(log.read_text(encoding="utf-8", errors="replace"), end="", file=sys.stderr)
    if child.poll() is None:
        print(f"it is still being started; what it says is in {log}", file=sys.stderr)
        child.returncode = 0
        return 0
    return child.returncode
