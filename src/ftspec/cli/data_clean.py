"""`ftspec data clean`: a repaired copy, what was set aside, and an account of every row."""

from __future__ import annotations

import difflib
from pathlib import Path

import click

from ftspec.cli.data_inputs import DataInputs, data_options, read_inputs
from ftspec.cli.failure import CannotReadError
from ftspec.cli.output import command, print_json
from ftspec.doctor.data.catalogue import DATA_RULES
from ftspec.doctor.data.clean import Ledger, beside
from ftspec.doctor.data.clean import clean as clean_data
from ftspec.doctor.data.fixes import FIXES, SAFE
from ftspec.doctor.data.record import UnreadableDataError
from ftspec.doctor.data.writers import kind_of


def _names(context: click.Context, option: click.Parameter, text: str | None) -> tuple[str, ...]:
    """Return the rules whose fixes are asked for, by name or code."""
    if text is None:
        return SAFE
    by_code = {rule.code.lower(): rule.name for rule in DATA_RULES if rule.name in FIXES}
    known = [*FIXES, *by_code, "safe", "all"]
    names: list[str] = []
    for word in (word.strip().lower() for word in text.split(",") if word.strip()):
        if word not in known:
            near = difflib.get_close_matches(word, known, n=1)
            hint = f" Did you mean `{near[0]}`?" if near else f" Known: {', '.join(FIXES)}."
            raise click.UsageError(f"`--fix {word}` is nothing to fix.{hint}")
        many = {"safe": SAFE, "all": tuple(FIXES)}.get(word)
        names += many if many is not None else [by_code.get(word, word)]
    return tuple(name for name in FIXES if name in names)


@click.command()
@data_options
@click.option("-o", "--output", "out", metavar="OUT", help="Where the clean rows go.")
@click.option(
    "--fix",
    "names",
    metavar="CODES",
    callback=_names,
    help="Fixes to make, by rule (`safe,pii-email`); `safe` is the default, `all` every one.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and write nothing.")
@click.option("--force", is_flag=True, help="Write over an output that is there.")
@click.option("--json", "json_wanted", is_flag=True, help="Print the ledger.")
def clean(
    files: tuple[str, ...],
    spec_file: str | None,
    held_out: tuple[str, ...],
    out: str | None,
    names: tuple[str, ...],
    dry_run: bool,
    force: bool,
    json_wanted: bool,
) -> int:
    """Write a clean copy of one FILE; rows that go are set aside beside it, with the reason.

    The input is never written to. OUT.quarantine.jsonl has the rows set aside, OUT.ledger.json
    what became of every row.
    """
    inputs = read_inputs(files, spec_file, held_out)
    if len(inputs.sources) != 1:
        raise click.UsageError(f"clean takes one file at a time; these are {len(inputs.sources)}.")
    if out is None and not dry_run:
        raise click.UsageError("Name the output with -o, or look first with --dry-run.")
    goal = Path(out) if out is not None else None
    try:
        if goal is not None:
            _may_write(goal, inputs, force or dry_run)
        ledger = clean_data(
            inputs.sources[0], None if dry_run else goal, names, inputs.layout, inputs.held_out
        )
    except UnreadableDataError as error:
        raise CannotReadError(str(error), error.help) from None
    except OSError as error:
        raise CannotReadError(f"`{out}` cannot be written: {error.strerror}") from None
    if json_wanted:
        print_json(ledger.as_json())
    else:
        print(_told(ledger, inputs.sources[0].name, goal, dry_run))
    return 0


def _may_write(goal: Path, inputs: DataInputs, over: bool) -> None:
    """Raise CannotReadError where an output is an input, is there already, or has no folder."""
    kind_of(goal)
    outputs = (goal, beside(goal, "quarantine", "jsonl"), beside(goal, "ledger", "json"))
    for output in outputs:
        if not output.exists():
            continue
        for source in (*inputs.sources, *inputs.held_out):
            if output.samefile(source.path):
                raise CannotReadError(f"`{output}` is an input, and is not written over")
        if not over:
            raise CannotReadError(f"`{output}` is there already", "--force writes over it")
    if not goal.parent.is_dir():
        raise CannotReadError(f"there is no folder `{goal.parent}`")


def _told(ledger: Ledger, name: str, goal: Path | None, dry_run: bool) -> str:
    repaired, aside = len(ledger.repaired), len(ledger.aside)
    kept = ledger.rows - repaired - aside
    would = "would be " if dry_run else ""
    lines = [
        f"{name}: {ledger.rows:,} rows = {kept:,} as they are + {repaired:,} {would}repaired"
        f" + {aside:,} {would}set aside"
    ]
    lines += [
        f"  {count:>7,}  {rule}: {FIXES[rule].words}" for rule, count in ledger.counts.items()
    ]
    if dry_run:
        goal_name = str(goal) if goal else "clean.jsonl"
        return "\n".join([*lines, f"next: {command('data', 'clean', name, '-o', goal_name)}"])
    assert goal is not None
    lines += [
        f"{goal}: {ledger.written:,} rows",
        f"{beside(goal, 'quarantine', 'jsonl')}: {aside:,} rows, each with its reason",
        f"{beside(goal, 'ledger', 'json')}: what became of every row",
        f"next: {command('data', 'check', str(goal))}",
    ]
    return "\n".join(lines)
