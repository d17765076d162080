"""`ftspec run`: train, in a child process that is followed to its end."""

from __future__ import annotations

import contextlib
import sys
from functools import partial
from pathlib import Path

import click

from ftspec.cli.background import in_background
from ftspec.cli.build import plan_of, write_project
from ftspec.cli.failure import CannotReadError, RunFailedError
from ftspec.cli.heal import ATTEMPTS, Healing, heal, spec_of
from ftspec.cli.inputs import allow_option, data_option, fail_on_option, hardware_options
from ftspec.cli.output import command, print_json
from ftspec.cli.python import need_libraries, python_option
from ftspec.cli.question import yes_option
from ftspec.cli.report_page import write_report
from ftspec.compiler.plan import Plan
from ftspec.runtime.live import PlainView, view_for
from ftspec.runtime.loading import load_lines
from ftspec.runtime.lock import AlreadyRunningError
from ftspec.runtime.progress import progress
from ftspec.runtime.project import NotAProjectError, fact, read_plan
from ftspec.runtime.state import OtherLayoutError, read_ledger
from ftspec.runtime.summary import summary
from ftspec.runtime.supervise import Ended, SeveralMachinesError, supervise

OTHER_LAYOUT = "use the version that wrote it, or start another run in a fresh project folder"


@click.command()
@click.argument("target", required=False)
@click.option("--new", is_flag=True, help="Start another run instead of going on with the last.")
@click.option("--detach", is_flag=True, help="Train in the background; see status, logs, stop.")
@click.option("--force", is_flag=True, help="Rebuild over edited files, keeping them as .bak.")
@click.option(
    "--heal",
    "heal_option",
    metavar="[N]",
    is_flag=False,
    flag_value=str(ATTEMPTS),
    help="Change the spec as the doctor is sure of, and run again, up to N times (2).",
)
@python_option
@click.option("-o", "--output", metavar="DIR", help="The project folder, for a spec.")
@click.option("--json", "as_json", is_flag=True, help="Print the run's ledger as JSON at the end.")
@hardware_options
@data_option
@allow_option
@yes_option
@fail_on_option("error")
def run(
    target: str | None,
    new: bool,
    detach: bool,
    force: bool,
    heal_option: str | None,
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
    target, budget = _target_and_budget(target, heal_option)
    project = Path(target)
    options = (gpu, vram, count, data, output, allow or None)
    if project.is_dir():
        if any(option is not None for option in options):
            raise click.UsageError(
                "A project is run as it was built: --gpu, --vram, --count, --data, --allow and -o"
                " go with a spec."
            )
        spec = spec_of(project) if budget else None
        build = partial(_built, str(spec), str(project), fail_on)
    else:
        spec = Path(target)
        build = partial(plan_of, target, output, gpu, vram, count, data, fail_on, allow, yes=yes)
        found = build()
        if found is None:
            return 1
        plan, project = found
        if not write_project(project, plan, force=force).written:
            return 1
    need_libraries(python)
    if detach:
        words = ["run", str(project), "--python", python, *(["--new"] if new else [])]
        if budget:  # it builds again, as it was built here
            words[1:2] = [target, "--heal", str(budget), "--fail-on", fail_on]
            words += _options(gpu, vram, count, data, output, allow, yes=yes)
        return in_background(project, words)
    again = partial(run_project, project, python=python, quiet=as_json)
    ended = again(new=new)
    if budget and spec is not None:
        ended = heal(Healing(project, spec, build, again, budget), ended)
    if as_json:
        print_json(read_ledger(ended.run))
    return 130 if ended.interrupted else 0 if ended.state == "finished" else 1


def _built(spec: str, project: str, fail_on: str) -> tuple[Plan, Path] | None:
    return plan_of(spec, project, None, None, None, None, fail_on)


def _options(
    gpu: str | None,
    vram: str | None,
    count: int | None,
    data: str | None,
    output: str | None,
    allow: tuple[str, ...],
    *,
    yes: bool,
) -> list[str]:
    """Return what a spec was built with as options of the command line."""
    given = {"--gpu": gpu, "--vram": vram, "--count": count, "--data": data, "--output": output}
    given["--allow"] = ",".join(allow) or None
    words = [word for name, value in given.items() if value for word in (name, str(value))]
    return [*words, *(["--yes"] if yes else [])]


def _target_and_budget(target: str | None, asked: str | None) -> tuple[str, int]:
    """Return what to run, and how many treatments --heal allows; 0: it was not asked for."""
    if asked is not None and not asked.isdecimal():  # `--heal SPEC`
        if target is not None:
            raise click.UsageError(f"`--heal {asked}` is no number of treatments.")
        target, asked = asked, str(ATTEMPTS)
    if target is None:
        raise click.UsageError("Missing argument 'TARGET'.")
    if asked is not None and target == "-":
        raise click.UsageError("--heal changes the spec's file, and standard input is none.")
    return target, int(asked or 0)


def run_project(
    project: Path, *, new: bool = False, python: str = sys.executable, quiet: bool = False
) -> Ended:
    """Run a project with a view on it, and say how it ended."""
    view = PlainView() if quiet else view_for(sys.stderr, _predicted(project))
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


def _predicted(project: Path) -> int | None:
    with contextlib.suppress(NotAProjectError):
        bytes_ = fact(read_plan(project), "memory", "allocated_peak_bytes")
        return bytes_ if isinstance(bytes_, int) else None
    return None


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
    if ended.state == "finished" and (lines := load_lines(ended.run)):
        told += ["", "  load it with", *(f"    {line}" for line in lines)]
    return "\n".join([head, *told, last])
