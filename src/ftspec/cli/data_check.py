"""`ftspec data check`: every rule asked of every row, worst findings first."""

from __future__ import annotations

import errno
import sys
import tempfile

import click

from ftspec.cli.data_inputs import DataInputs, data_options, read_inputs, said_progress
from ftspec.cli.data_model import counted
from ftspec.cli.failure import CannotReadError
from ftspec.cli.inputs import exit_code, fail_on_option
from ftspec.cli.output import command, print_json
from ftspec.cli.paint import painter
from ftspec.doctor.data.check import Checked, Engine, Wanted
from ftspec.doctor.data.check import check as check_data
from ftspec.doctor.data.fixes import FIXES
from ftspec.doctor.data.processes import processes_for
from ftspec.doctor.data.record import UnreadableDataError
from ftspec.doctor.data.report import as_json, as_text


@click.command()
@data_options
@click.option("--model", metavar="NAME", help="Count tokens by this model's tokenizer.")
@click.option("--max-length", type=click.IntRange(8), help="Tokens of the longest row.")
@click.option("--near/--no-near", default=True, help="Look for near-duplicates as well.")
@click.option("--presidio", is_flag=True, help="Ask Presidio for names of persons as well.")
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    help="Processes that look at the rows; one for each core where the files are large.",
)
@click.option("--ray", is_flag=True, help="Let Ray look, on this machine or RAY_ADDRESS's.")
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON document.")
@fail_on_option("warning")
def check(
    files: tuple[str, ...],
    spec_file: str | None,
    held_out: tuple[str, ...],
    model: str | None,
    max_length: int | None,
    near: bool,
    presidio: bool,
    processes: int | None,
    ray: bool,
    json_wanted: bool,
    fail_on: str,
) -> int:
    """Check data files together, as one data set (JSON, JSON lines, CSV, Parquet, .gz, .zst).

    Without FILE, the training data that the spec names. A name such as OWNER/NAME:SPLIT that is
    no file is a data set of the Hugging Face hub.
    """
    inputs = read_inputs(files, spec_file, held_out)
    tokens, lacking = counted(inputs, model, max_length)
    wanted = Wanted(
        layout=inputs.layout,
        held_out=inputs.held_out,
        near=near,
        progress=said_progress(),
        tokens=tokens,
        lacking=lacking,
        presidio=presidio,
    )
    engine: int | Engine = processes or processes_for(inputs.sources, tokens)
    if ray:
        from ftspec.doctor.data.on_ray import parts_of as engine
    checked = _checked(inputs, wanted, engine)
    if json_wanted:
        print_json(as_json(checked))
        return exit_code(checked.findings, fail_on)
    fixes = {name: fix.words for name, fix in FIXES.items()}
    print(as_text(checked, fixes, painter(sys.stdout)), end="")
    if any(f.name in FIXES and FIXES[f.name].safe and f.evidence["rows"] for f in checked.findings):
        name = inputs.sources[0].name
        print(f"\nnext: {command('data', 'clean', name, '-o', 'clean.jsonl')}")
    return exit_code(checked.findings, fail_on)


def _checked(inputs: DataInputs, wanted: Wanted, engine: int | Engine) -> Checked:
    try:
        return check_data(inputs.sources, wanted, engine)
    except UnreadableDataError as error:
        raise CannotReadError(str(error), error.help) from None
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise CannotReadError(
            f"`{tempfile.gettempdir()}` is full: what rows are compared by goes there",
            "TMPDIR=/another/folder puts it elsewhere; --no-near needs the least",
        ) from None
    finally:
        if wanted.progress is not None:
            print(file=sys.stderr)
