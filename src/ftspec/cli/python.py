"""The Python that a project's scripts run with, and what it lacks."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ftspec.cli.failure import RunFailedError

Function = TypeVar("Function", bound=Callable[..., Any])


def python_option(function: Function) -> Function:
    """Add --python; a path is made absolute, since scripts run in the project's folder."""
    return click.option(
        "--python",
        metavar="PATH",
        default=sys.executable,
        callback=_found,
        help="The Python that runs the scripts.  [default: this one]",
    )(function)


def _found(context: click.Context, option: click.Parameter, value: str) -> str:
    path = shutil.which(os.path.expanduser(value))
    if path is None:
        raise click.UsageError(f"`--python {value}`: there is no such program.", context)
    return os.path.abspath(path)  # links stay: a virtual environment is known by its link


def missing_libraries(python: str) -> tuple[str, ...]:
    """Return the training libraries that a Python lacks."""
    from ftspec.runtime import supervise  # only now: `check` asks for nothing else of it

    return supervise.missing_libraries(python)


def need_libraries(python: str) -> None:
    """Raise RunFailedError where a Python lacks libraries that the scripts import."""
    lacking = missing_libraries(python)
    if lacking:
        raise RunFailedError(
            f"the scripts need {', '.join(lacking)}, which this Python does not have",
            "pip install 'ftspec[train]', or --python with one that has them",
        )
