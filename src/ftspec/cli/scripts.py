"""Call a script of a trained project: what `evaluate` and `merge` have in common."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from ftspec.cli.failure import CannotReadError
from ftspec.cli.python import need_libraries
from ftspec.runtime.project import NotAProjectError, call_script

run_option = click.option(
    "--run", "number", type=int, help="Which run; the newest finished one if left out."
)


def call(
    project: str, script: str, arguments: Sequence[str], python: str, *, quiet: bool = False
) -> int:
    """Call a script of a project; its own messages say what is wrong."""
    need_libraries(python)
    try:
        code = call_script(Path(project), script, arguments, python, quiet=quiet)
    except NotAProjectError as error:
        raise CannotReadError(str(error), "build one: ftspec build SPEC -o DIR") from None
    return 0 if code == 0 else 1


def run_argument(number: int | None) -> list[str]:
    """Return the scripts' --run, where a run was named."""
    return ["--run", str(number)] if number is not None else []
