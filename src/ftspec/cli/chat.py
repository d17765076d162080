"""`ftspec chat`: talk to a trained model, or to several adapters of one base."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import click

from ftspec.cli.failure import CannotReadError
from ftspec.cli.python import need_libraries, python_option
from ftspec.cli.scripts import run_argument, run_option
from ftspec.runtime.project import QUIET

SCRIPT = "chat.py"


@click.command()
@click.argument("project")
@run_option
@click.option(
    "--adapter",
    "adapters",
    metavar="NAME=DIR",
    multiple=True,
    help="An adapter to load, by a name of yours: its folder, its run's or its project's.",
)
@click.option("--prompt", help="Answer this and end; each adapter that was given answers.")
@click.option("--base", is_flag=True, help="Ask the untuned base.")
@click.option("--max-new-tokens", type=int, default=256, show_default=True)
@click.option("--temperature", type=float, default=0.0, show_default=True, help="0: greedy.")
@python_option
def chat(
    project: str,
    number: int | None,
    adapters: tuple[str, ...],
    prompt: str | None,
    base: bool,
    max_new_tokens: int,
    temperature: float,
    python: str,
) -> int:
    """Talk to the tuned model.

    /help in the conversation lists what can be asked of it: switch between adapters, add, drop,
    compare and mix them.
    """
    for pair in adapters:
        name, equals, folder = pair.partition("=")
        if not (name and equals and folder):
            raise click.UsageError(f"`--adapter {pair}`: give it a name, as in --adapter mine=DIR")
        if not Path(folder).expanduser().is_dir():
            raise CannotReadError(f"`{folder}` is no folder, so it holds no adapter")
    words = run_argument(number)
    words += [word for pair in adapters for word in ("--adapter", pair)]
    words += ["--prompt", prompt] if prompt is not None else []
    words += ["--base"] if base else []
    words += ["--max-new-tokens", str(max_new_tokens), "--temperature", str(temperature)]
    return _talk(Path(project), words, python)


def _talk(project: Path, words: list[str], python: str) -> int:
    """Run chat.py where the user stands, so that folders named in the conversation are found.

    Ctrl-C ends an answer and not the conversation: it is the script's, and passed over here.
    """
    script = project / SCRIPT
    if not script.is_file():
        raise CannotReadError(f"`{project}` has no {SCRIPT}", "build one: ftspec build SPEC -o DIR")
    need_libraries(python)
    heard = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        command = [python, os.path.abspath(script), *words]
        code = subprocess.run(command, env={**QUIET, **os.environ}).returncode
    finally:
        signal.signal(signal.SIGINT, heard)
    return 0 if code == 0 else 1
