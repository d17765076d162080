"""`ftspec evaluate`, `merge` and `chat`: call the scripts of a trained project."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from ftspec.cli.failure import CannotReadError, RunFailedError
from ftspec.runtime.supervise import NotAProjectError, call_script, missing_libraries

SCRIPT_OPTIONS = {"ignore_unknown_options": True}


def call(project: str, script: str, arguments: list[str], python: str) -> int:
    """Call a script of a project; its own messages say what is wrong."""
    lacking = missing_libraries(python)
    if lacking:
        raise RunFailedError(
            f"this needs {', '.join(lacking)}, which this Python does not have",
            "pip install 'ftspec[train]', or --python with one that has them",
        )
    try:
        code = call_script(Path(project), script, arguments, python)
    except NotAProjectError as error:
        raise CannotReadError(str(error), "build one: ftspec build SPEC -o DIR") from None
    return 0 if code == 0 else 1


def _run_argument(number: int | None) -> list[str]:
    return ["--run", str(number)] if number is not None else []


@click.command()
@click.argument("project")
@click.option("--run", "number", type=int, help="Which run; the newest finished one if left out.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--python", default=sys.executable, help="The Python to use.")
def evaluate(project: str, number: int | None, as_json: bool, python: str) -> int:
    """Measure perplexity on the held-out rows, before and after training."""
    if not as_json:
        return call(project, "evaluate.py", _run_argument(number), python)
    import subprocess

    path = Path(project) / "evaluate.py"
    if not path.is_file():
        raise CannotReadError(f"`{project}` has no evaluate.py")
    done = subprocess.run(
        [python, "evaluate.py", *_run_argument(number)], cwd=project, stdout=subprocess.DEVNULL
    )
    if done.returncode != 0:
        return 1
    results = sorted(
        Path(project).glob("runs/*/evaluation.json"), key=lambda found: found.stat().st_mtime
    )
    print(json.dumps(json.loads(results[-1].read_text(encoding="utf-8")), indent=2))
    return 0


@click.command()
@click.argument("project")
@click.option("--run", "number", type=int, help="Which run; the newest finished one if left out.")
@click.option("--python", default=sys.executable, help="The Python to use.")
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
@click.option("--python", default=sys.executable, help="The Python to use.")
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
