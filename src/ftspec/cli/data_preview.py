"""`ftspec data preview`: rows as the model will see them, what is learnt in colour."""

from __future__ import annotations

import sys
from itertools import chain
from pathlib import Path

import click

from ftspec.cli.data_inputs import data_options, read_inputs
from ftspec.cli.data_model import counting_of
from ftspec.cli.failure import CannotReadError
from ftspec.cli.output import command
from ftspec.cli.paint import painter, wants_colour
from ftspec.compiler.facts.lengths import TemplateError
from ftspec.doctor.data.check import rows_of
from ftspec.doctor.data.preview import as_html, as_text, previews
from ftspec.doctor.data.record import UnreadableDataError


@click.command()
@data_options
@click.option("--model", metavar="NAME", help="The model whose tokenizer and template are used.")
@click.option("--max-length", type=click.IntRange(8), help="Tokens of the longest row.")
@click.option("--rows", "count", type=click.IntRange(1, 1000), default=3, show_default=True)
@click.option("--html", "page", metavar="OUT", help="Write a page instead.")
def preview(
    files: tuple[str, ...],
    spec_file: str | None,
    held_out: tuple[str, ...],
    model: str | None,
    max_length: int | None,
    count: int,
    page: str | None,
) -> int:
    """Show rows through the tokenizer and chat template: learnt, masked and cut tokens."""
    inputs = read_inputs(files, spec_file, held_out)
    counting = counting_of(inputs, model, max_length)
    if counting is None:
        raise click.UsageError("Name a model with --model, or a spec with --spec.")
    name = inputs.sources[0].name
    if counting.model.tokenizer_file is None:
        raise CannotReadError(
            f"no tokenizer of `{counting.model.name}` is at hand",
            "give --model a folder that has a tokenizer.json",
        )
    examples = chain.from_iterable(rows_of(source, inputs.layout) for source in inputs.sources)
    try:
        shown = list(previews(examples, counting, count))
        if page is not None:
            Path(page).write_text(as_html(shown, name), encoding="utf-8")
    except UnreadableDataError as error:
        raise CannotReadError(str(error), error.help) from None
    except TemplateError as error:
        raise CannotReadError(str(error)) from None
    except OSError as error:
        raise CannotReadError(f"`{page}` cannot be written: {error.strerror}") from None
    if page is not None:
        print(f"{page}: {len(shown)} rows")
    else:
        print(as_text(shown, name, painter(sys.stdout), wants_colour(sys.stdout)), end="")
    if not shown:
        print("no row can be shown", file=sys.stderr)
    print(f"next: {command('data', 'check', name)}")
    return 0
