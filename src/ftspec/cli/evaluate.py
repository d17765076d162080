"""`ftspec evaluate`: measure a trained project's held-out rows, by its evaluate.py."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any, get_args

import click

from ftspec.cli.failure import RunFailedError
from ftspec.cli.output import print_json
from ftspec.cli.python import python_option
from ftspec.cli.report_page import write_report
from ftspec.cli.review import review_options
from ftspec.cli.scripts import call, run_argument, run_option
from ftspec.runtime.evaluation import NAME
from ftspec.runtime.progress import progress
from ftspec.runtime.project import NotAProjectError, read_plan
from ftspec.runtime.state import OtherLayoutError
from ftspec.spec.model import Metric

METRICS: tuple[str, ...] = get_args(Metric)


@click.command()
@click.argument("project", required=False)
@run_option
@click.option(
    "--metrics", metavar="LIST", help=f"Out of {','.join(METRICS)}.  [default: the spec's]"
)
@click.option("--checkpoints", is_flag=True, help="The run's checkpoints too.")
@click.option(
    "--adapter",
    "adapters",
    multiple=True,
    metavar="NAME=DIR",
    help="Another adapter of this base, or a merged model, too; as often as wanted.",
)
@click.option("--rows", type=click.IntRange(1), help="The first so many held-out rows alone.")
@click.option("--by", metavar="COLUMN", help="Show results by this column of the rows too.")
@click.option("--max-new-tokens", type=click.IntRange(1), help="Of an answer.  [default: 256]")
@click.option("--tasks", metavar="LIST", help="Tasks of lm-eval, where that is installed.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@python_option
@review_options
def evaluate(
    project: str,
    number: int | None,
    metrics: str | None,
    checkpoints: bool,
    adapters: tuple[str, ...],
    rows: int | None,
    by: str | None,
    max_new_tokens: int | None,
    tasks: str | None,
    as_json: bool,
    python: str,
) -> int:
    """Measure the held-out rows, before and after training.

    Perplexity, and BLEU, chrF, ROUGE-L and exact match of generated answers; each change with
    its interval. --review has people judge answers instead.
    """
    arguments = run_argument(number)
    arguments += ["--metrics", *_metrics(metrics)] if metrics is not None else []
    arguments += ["--checkpoints"] if checkpoints else []
    for text in adapters:
        name, _, path = text.rpartition("=")
        arguments += ["--adapter", f"{name or Path(path).name}={os.path.abspath(path)}"]
    for option, value in (("--rows", rows), ("--by", by), ("--max-new-tokens", max_new_tokens)):
        arguments += [option, str(value)] if value is not None else []
    arguments += ["--tasks", *_words(tasks)] if tasks is not None else []
    code = call(project, "evaluate.py", arguments, python, quiet=as_json)
    written = _newest(Path(project)) if code == 0 else None
    if written is not None:
        _report(Path(project), written.parent)
    if as_json and code == 0:
        if written is None:
            raise RunFailedError(f"evaluate.py has written no runs/<n>/{NAME} in `{project}`")
        print_json(json.loads(written.read_text(encoding="utf-8")))
    return code


def _words(text: str) -> list[str]:
    return [word for word in text.replace(",", " ").split() if word]


def _metrics(text: str) -> list[str]:
    words = _words(text)
    odd = [word for word in words if word not in METRICS]
    if odd or not words:
        names = ", ".join(METRICS)
        raise click.UsageError(f"`--metrics {text}`: the metrics are {names}.")
    return words


def _newest(project: Path) -> Path | None:
    """Return what evaluate.py has just written into its run's folder."""
    results = project.glob(f"runs/*/{NAME}")
    return max(results, key=lambda path: path.stat().st_mtime_ns, default=None)


def _report(project: Path, run: Path) -> None:
    """Write the run's page anew, with the evaluation in it."""
    with contextlib.suppress(NotAProjectError, OtherLayoutError):
        found: Any = progress(project, int(run.name))
        if found is not None and found.run.events.exists():
            write_report(found, read_plan(project))
