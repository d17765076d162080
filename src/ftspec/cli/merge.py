"""`ftspec merge`: the adapter and its base as one model, by the project's merge.py."""

from __future__ import annotations

import os

import click

from ftspec.cli.python import python_option
from ftspec.cli.scripts import call, run_argument, run_option


@click.command()
@click.argument("project")
@run_option
@click.option(
    "--into",
    type=click.Choice(["original", "dequantized"]),
    help="The base as it was, or as the adapter saw it (QLoRA).  [default: original]",
)
@click.option("--compare", is_flag=True, help="Measure the held-out rows before and after.")
@click.option("--base", metavar="DIR", help="The base, where it lies elsewhere now.")
@click.option("--whole", is_flag=True, help="Merge the whole model in memory, by peft alone.")
@python_option
def merge(
    project: str,
    number: int | None,
    into: str | None,
    compare: bool,
    base: str | None,
    whole: bool,
    python: str,
) -> int:
    """Merge the trained adapter into its base (LoRA and QLoRA).

    Tensor by tensor, so the machine need not hold the model. A base other than the one trained
    on is refused; the merged model's logits are compared with the adapter's.
    """
    arguments = run_argument(number)
    arguments += ["--into", into] if into is not None else []
    arguments += ["--compare"] if compare else []
    if base is not None:  # scripts run in the project's folder
        arguments += ["--base", os.path.abspath(base) if os.path.exists(base) else base]
    arguments += ["--whole"] if whole else []
    return call(project, "merge.py", arguments, python)
