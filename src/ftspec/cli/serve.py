"""`ftspec serve`: an OpenAI-compatible endpoint, by a server that is installed."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from ftspec.cli.failure import CannotReadError, RunFailedError
from ftspec.cli.python import python_option
from ftspec.cli.scripts import run_option
from ftspec.runtime.finished import finished, newest_finished
from ftspec.runtime.project import NotAProjectError, read_plan
from ftspec.runtime.serving import transformers_serve, vllm
from ftspec.runtime.serving.models import NotServableError, Offer, offer

OFFLINE = {"HF_HUB_OFFLINE": "1"}  # all that is served lies here; a request downloads nothing

SYSTEM = (
    "it was trained with a system prompt: requests have to send it (data.system in ftspec.yaml)"
)


@dataclass(frozen=True, slots=True)
class Start:
    """A command, the folder it starts in, what it adds to the environment, and what is to know."""

    server: str
    words: list[str]
    folder: Path | None
    environment: dict[str, str]
    notes: list[str]

    def line(self) -> str:
        """Return it as a line to type."""
        settings = [f"{name}={value}" for name, value in self.environment.items()]
        line = " ".join([*settings, shlex.join(self.words)])
        return f"cd {shlex.quote(str(self.folder))} && {line}" if self.folder else line


@click.command()
@click.argument("project")
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[-- SERVER OPTIONS]")
@run_option
@click.option(
    "--adapter",
    "adapters",
    metavar="NAME=DIR",
    multiple=True,
    help="A trained model to serve by this name: its folder, its run's or its project's.",
)
@click.option(
    "--server",
    type=click.Choice(["auto", "vllm", "transformers"]),
    default="auto",
    show_default=True,
    help="auto: vLLM where it is installed and can, else transformers serve.",
)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@click.option("--dry-run", is_flag=True, help="Print the command, and start nothing.")
@python_option
def serve(
    project: str,
    options: tuple[str, ...],
    number: int | None,
    adapters: tuple[str, ...],
    server: str,
    host: str,
    port: int,
    dry_run: bool,
    python: str,
) -> int:
    """Serve a trained model, or several adapters of one base, as an OpenAI-compatible endpoint.

    A request names the model: `tuned`, an adapter's name, or `base`. The server is vLLM or
    `transformers serve`; words after -- are options of its own.
    """
    folder = Path(project)
    try:
        found = offer(folder, _final(folder, number, adapters), _pairs(adapters))
        start = _start(found, folder, server, host, port, python)
    except NotAProjectError as error:
        raise CannotReadError(str(error), "build one: ftspec build SPEC -o DIR") from None
    except NotServableError as error:
        raise RunFailedError(str(error), error.hint) from None
    except OSError as error:
        raise RunFailedError(f"`{project}` cannot be written: {error.strerror}") from None
    start.words.extend(options)
    start.notes.extend([SYSTEM] if found.system else [])
    for note in start.notes:
        print(f"note: {note}", file=sys.stderr)
    print(f"{start.server}: http://{host}:{port}/v1, models {', '.join(found.names)}")
    print(start.line(), flush=True)
    if not dry_run:
        if start.folder is not None:
            os.chdir(start.folder)
        os.execvpe(start.words[0], start.words, {**os.environ, **start.environment})
    return 0


def _pairs(adapters: tuple[str, ...]) -> list[tuple[str, Path]]:
    pairs = []
    for pair in adapters:
        name, equals, folder = pair.partition("=")
        if not (name and equals and folder):
            raise click.UsageError(f"`--adapter {pair}`: give it a name, as in --adapter mine=DIR")
        pairs.append((name, Path(folder).expanduser()))
    return pairs


def _final(project: Path, number: int | None, adapters: tuple[str, ...]) -> Path | None:
    """Return the run that is served under the name `tuned`; None where adapters alone are."""
    read_plan(project)  # says it where this is no project
    if number is None and adapters:
        return None
    run = newest_finished(project) if number is None else finished(project, number)
    if run is None:
        which = "no run" if number is None else f"run {number}"
        verb = "has" if number is None else "has not"
        raise RunFailedError(f"{which} {verb} finished: there is nothing to serve")
    return run.path / "final"


def _start(found: Offer, project: Path, server: str, host: str, port: int, python: str) -> Start:
    """Choose the server, and return how it is started. Raises NotServableError."""
    program = vllm.program(python)
    why = vllm.refused(found)
    if server == "vllm" or (server == "auto" and program and not why):
        if program is None:
            raise NotServableError("vLLM is not installed", vllm.INSTALL)
        words = vllm.command(found, program, host, port)
        return Start("vLLM", words, None, {}, vllm.notes(found))
    if not transformers_serve.installed(python):
        missing = "`transformers serve` lacks fastapi, uvicorn, openai or peft"
        if server == "auto":
            missing = f"{why or 'vLLM is not installed'}, and {missing}"
        other = "" if server == "transformers" or why else f"; or {vllm.INSTALL}"
        raise NotServableError(missing, transformers_serve.INSTALL + other)
    folder = transformers_serve.lay_out(found, project)
    notes = transformers_serve.notes(found) + ([why] if why and program else [])
    words = transformers_serve.command(found, python, host, port)
    return Start("transformers serve", words, folder, OFFLINE, notes)
