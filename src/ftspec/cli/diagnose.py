"""`ftspec diagnose`: read training logs, say what they show, and prescribe."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ftspec.cli.failure import CannotReadError
from ftspec.cli.inputs import exit_code, fail_on_option
from ftspec.cli.output import print_json, width
from ftspec.cli.paint import painter, speaks_unicode
from ftspec.doctor.curves.log import UnreadableLogError
from ftspec.doctor.diagnose import diagnose as diagnose_paths
from ftspec.doctor.report import as_json as report_json
from ftspec.doctor.report import as_text


@click.command()
@click.argument("paths", nargs=-1, required=True)
@click.option("--spec", metavar="FILE", help="The spec to patch, where none lies beside the log.")
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON document.")
@fail_on_option("warning")
def diagnose(paths: tuple[str, ...], spec: str | None, json_wanted: bool, fail_on: str) -> int:
    """Read logs: a file, a run's folder, or a project (`-`: standard input)."""
    spec_text = None
    if spec is not None:
        try:
            spec_text = (spec, Path(spec).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise CannotReadError(f"`{spec}` cannot be read: {error}") from None
    try:
        diagnosis = diagnose_paths([Path(path) for path in paths], spec_text)
    except UnreadableLogError as error:
        raise CannotReadError(str(error), error.help) from None
    if json_wanted:
        print_json(report_json(diagnosis))
    else:
        paint, unicode = painter(sys.stdout), speaks_unicode(sys.stdout)
        print(as_text(diagnosis, paint, min(100, width()), unicode), end="")
    return exit_code(diagnosis.findings, fail_on)
