"""`ftspec evaluate`, `merge` and `chat`: call the scripts of a trained project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ftspec.cli.failure import CannotReadError, RunFailedError
from ftspec.cli.output import print_json
from ftspec.cli.python import need_libraries, python_option
from ftspec.runtime.supervise import NotAProjectError, call_script


def call(
    project: str, script: str, arguments: list[str], python: str, *, quiet: bool = False
) -> int:
    """Call a script of a project; its own messages say what is wrong."""
    need_libraries(python)
    try:
        code = call_script(Path(project), script, arguments, python, quiet=quiet)
    except NotAProjectError as error:
        raise CannotReadError(str(error), "build one: ftspec build SPEC -o DIR") from None
    return 0 if code == 0 else 1


def _run_argument(number: int | None) -> list[str]:
    return ["--run", str(number)] if number is not None else []


@click.command()
@click.argument("project")
@click.option("--run", "number", type=int, help="Which run; the newest finished one if left out.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@python_option
def evaluate(project: str, number: int | None, as_json: bool, python: str) -> int:
    """Measure perplexity on the held-out rows, before and after training."""
    code = call(project, "evaluate.py", _run_argument(number), python, quiet=as_json)
    if as_json and code == 0:
        print_json(_newest_result(Path(project)))
    return code


def _newest_result(project: Path) -> Any:
    """Return what evaluate.py has just written into its run's folder."""
    results = [*project.glob("runs/*/evaluation.json")]
    if not results:
        raise RunFailedError(f"evaluate.py has written no runs/<n>/evaluation.json in `{project}`")
    newest = max(results, key=lambda path: path.stat().st_mtime_ns)
    return json.loads(newest.read_text(encoding="utf-8"))


@click.command()
@click.argument("project")
@click.option("--run", "number", type=int, help="Which run; the newest finished one if left out.")
@python_option
def merge(project: str, number: int | None, python: str) -> int:
    """Merge the trained adapter into its base (LoRA and QLoRA)."""
    return call(project, "merge.py", _run_argument(number), python)


@click.command()
@click.argument("project")
@click.option("--run", "number", type=int, help="Which run; the newest finished one if left out.")
@click.option("--prompt", help="Answer this and end.")
@click.option("--base", is_flag=True, help="Ask the untuned base.")
@click.option("--max-new-tokens", type=int, default=256, show_default=True)
@click.option("--temperature", type=float, default=0.0, show_default=True, help="0: greedy.")
@python_option
def chat(
    project: str,
    number: int | None,
    prompt: str | None,
    base: bool,
    max_new_tokens: int,
    temperature: float,
    python: str,
) -> int:
    """Talk to the tuned model."""
    arguments = _run_argument(number)
    arguments += ["--prompt", prompt] if prompt is not None else []
    arguments += ["--base"] if base else []
    arguments += ["--max-new-tokens", str(max_new_tokens), "--temperature", str(temperature)]
    return call(project, "chat.py", arguments, python)
