"""`ftspec evaluate --review`: have people judge answers blind; `--review-summary` counts."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ftspec.cli.failure import CannotReadError, RunFailedError
from ftspec.cli.output import command, print_json
from ftspec.cli.scripts import call, run_argument
from ftspec.runtime.finished import finished, newest_finished
from ftspec.runtime.review import judgements, summary
from ftspec.runtime.review.answers import NAME, NotAReviewError, Review, read_review
from ftspec.runtime.state import RunFolder

SCRIPT = "review.py"
PAGE = "review.html"
ROWS = 20


def review_options(function: Callable[..., int]) -> Callable[..., int]:
    """Add --review, --terminal and --review-summary to `evaluate`.

    The first and the last have answers of their own; without them `function` is called.
    """

    @click.option(
        "--review", is_flag=True, help=f"A page to judge answers on, of --rows prompts ({ROWS})."
    )
    @click.option("--terminal", is_flag=True, help="With --review: ask here, in the terminal.")
    @click.option("--review-summary", metavar="FILE", help="Count the judgements in a file.")
    @functools.wraps(function)
    def either(
        *,
        project: str | None,
        review: bool,
        terminal: bool,
        review_summary: str | None,
        **others: Any,
    ) -> int:
        if review_summary is not None:
            return summarise(Path(review_summary), as_json=others["as_json"])
        if project is None:
            raise click.UsageError("Missing argument 'PROJECT'.")
        if not review:
            if terminal:
                raise click.UsageError("--terminal goes with --review.")
            return function(project=project, **others)
        names = ("number", "rows", "max_new_tokens", "python")
        asked = [others[name] for name in names]
        run, found = _answers(Path(project), *asked, quiet=others["as_json"])
        if terminal:
            return ask(found, run)
        return write_page(found, run, as_json=others["as_json"])

    return either


def _answers(
    project: Path,
    number: int | None,
    rows: int | None,
    limit: int | None,
    python: str,
    *,
    quiet: bool,
) -> tuple[RunFolder, Review]:
    """Return a finished run and its answers, which review.py gives where there are none yet."""
    run = newest_finished(project) if number is None else finished(project, number)
    if run is not None and (run.path / NAME).is_file():
        found = _read(run.path / NAME)
        if rows in (None, found.rows) and limit in (None, found.max_new_tokens):
            if not quiet:
                print(f"answers of before: {run.path / NAME}; remove it to have others drawn")
            return run, found
    words = run_argument(number)
    for option, value in (("--rows", rows), ("--max-new-tokens", limit)):
        words += [option, str(value)] if value is not None else []
    if call(str(project), SCRIPT, words, python, quiet=quiet) != 0 or run is None:
        raise RunFailedError(f"{SCRIPT} has given no answers")
    return run, _read(run.path / NAME)


def _read(path: Path) -> Review:
    try:
        return read_review(path)
    except OSError as error:
        raise CannotReadError(f"`{path}` cannot be read: {error.strerror}") from None
    except NotAReviewError as error:
        raise CannotReadError(str(error), "remove it, and have the answers given again") from None


def write_page(found: Review, run: RunFolder, *, as_json: bool = False) -> int:
    """Write the page beside the answers, and say what to do with it."""
    from ftspec.runtime.review.page import as_html

    path = run.path / PAGE
    try:
        path.write_text(as_html(found, f"run {run.number}"), encoding="utf-8")
    except OSError as error:
        raise RunFailedError(f"`{path}` cannot be written: {error.strerror}") from None
    if as_json:
        print_json({"schema_version": 1, "page": str(path), "prompts": len(found.items)})
        return 0
    print(f"{len(found.items)} prompts to judge: {path}")
    print("next: open it in a browser, judge, save to a file, then")
    print(f"      {command('evaluate', '--review-summary', 'FILE')}")
    return 0


def ask(found: Review, run: RunFolder) -> int:
    """Ask in the terminal, go on where it was left, and say what it comes to."""
    from ftspec.runtime.review.terminal import ask as ask_all

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("--terminal needs a terminal; without it, --review makes a page.")
    file = run.path / judgements.NAME
    given = judgements.Judgements.none_of(found)
    if file.is_file():
        given = _judgements(file, found)
    try:
        given = ask_all(found, given, file, print, click.getchar)
    except OSError as error:
        raise RunFailedError(f"`{file}` cannot be written: {error.strerror}") from None
    print(f"\nkept in {file}\n")
    return _print(given)


def summarise(file: Path, *, as_json: bool = False) -> int:
    """Count the judgements of a file, and say which model is preferred."""
    given = _judgements(file)
    if as_json:
        print_json(summary.as_json(given))
        return 0
    return _print(given)


def _print(given: judgements.Judgements) -> int:
    for line in summary.lines(given):
        print(line)
    return 0


def _judgements(file: Path, review: Review | None = None) -> judgements.Judgements:
    try:
        return judgements.read_judgements(file, review)
    except OSError as error:
        raise CannotReadError(f"`{file}` cannot be read: {error.strerror}") from None
    except judgements.NotJudgementsError as error:
        hint = "remove it to begin anew" if review else "save one from the page of --review"
        raise CannotReadError(str(error), hint) from None
