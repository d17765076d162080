"""`ftspec diagnose`: read training logs, say what they show, and prescribe."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ftspec.cli.failure import CannotReadError, Failure
from ftspec.cli.inputs import exit_code, fail_on_option
from ftspec.cli.output import print_json, width
from ftspec.cli.paint import painter, speaks_unicode
from ftspec.doctor.compare import Comparison, compare
from ftspec.doctor.curves.log import UnreadableLogError
from ftspec.doctor.curves.readers import READERS
from ftspec.doctor.curves.rules import CURVE_RULES
from ftspec.doctor.diagnose import STANDARD_INPUT, Diagnosis, SpecText
from ftspec.doctor.examine import examine
from ftspec.doctor.patches.config import ConfigText, UnknownConfigError
from ftspec.doctor.report import as_json as report_json
from ftspec.doctor.report import as_text

WIDEST = 120  # columns: a longer line is hard to read
ALL = "all"


@click.command(epilog=f"Formats that are read: {'; '.join(reader.title for reader in READERS)}.")
@click.argument("paths", nargs=-1)
@click.option("--spec", metavar="FILE", help="The spec to patch, where none lies beside the log.")
@click.option("--config", metavar="FILE", help="Another trainer's config to patch instead.")
@click.option(
    "--apply",
    "apply_name",
    metavar="[FINDING]",
    is_flag=False,
    flag_value=ALL,
    help="Make the first change prescribed for each warning or error, or for one finding.",
)
@click.option("--watch", is_flag=True, help="Follow a log that grows.")
@click.option("--compare", "only_compare", is_flag=True, help="Of several logs: no single reports.")
@click.option(
    "--format", "format_", type=click.Choice(["text", "json", "github"]), help="What is printed."
)
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON document.")
@click.option("--html", metavar="FILE", help="Write a report as one HTML page as well.")
@fail_on_option("warning")
def diagnose(
    paths: tuple[str, ...],
    spec: str | None,
    config: str | None,
    apply_name: str | None,
    watch: bool,
    only_compare: bool,
    format_: str | None,
    json_wanted: bool,
    html: str | None,
    fail_on: str,
) -> int:
    """Read logs: a file, a run's folder, or a project (`-`: standard input).

    Several logs are compared as well. The spec of a project, or the config of Axolotl,
    LLaMA-Factory, TRL or a JSON of TrainingArguments that lies beside a log, is what the
    prescriptions are patches of.
    """
    if apply_name is not None and not _names_finding(apply_name):
        paths, apply_name = (apply_name, *paths), ALL  # `--apply LOG`
    format = _format(format_, json_wanted)
    _refuse_together(paths, spec, config, apply_name, watch, only_compare, html)
    given = _given(spec, config)
    if watch:
        from ftspec.cli.watch import watch as follow

        return follow(Path(paths[0]), given, format, fail_on)
    try:
        diagnosis = examine([Path(path) for path in paths], given)
    except UnreadableLogError as error:
        raise CannotReadError(str(error), error.help) from None
    comparison = compare(diagnosis)
    if only_compare and comparison is None:
        raise CannotReadError("--compare needs two logs with losses in them")
    _show(diagnosis, comparison, format, only_compare)
    if html is not None:
        _write_html(diagnosis, comparison, Path(html))
    if apply_name is not None:
        from ftspec.cli.apply import apply_prescriptions

        sys.stdout.flush()
        apply_prescriptions(diagnosis, apply_name)
    return exit_code(diagnosis.findings, fail_on)


def _names_finding(word: str) -> bool:
    return word == ALL or any(word in (rule.name, rule.code) for rule in CURVE_RULES)


def _format(asked: str | None, json_wanted: bool) -> str:
    if json_wanted and asked not in (None, "json"):
        raise click.UsageError(f"--json and --format {asked} exclude each other.")
    return "json" if json_wanted else asked or "text"


def _refuse_together(
    paths: tuple[str, ...],
    spec: str | None,
    config: str | None,
    apply_name: str | None,
    watch: bool,
    only_compare: bool,
    html: str | None,
) -> None:
    if not paths:
        raise click.UsageError("Missing argument 'PATHS...'.")
    if spec is not None and config is not None:
        raise click.UsageError("--spec and --config exclude each other: a run came from one.")
    if not watch:
        return
    if len(paths) > 1 or Path(paths[0]) == STANDARD_INPUT:
        raise click.UsageError("--watch follows one file or folder.")
    for name, value in (("--apply", apply_name), ("--compare", only_compare), ("--html", html)):
        if value:
            raise click.UsageError(f"--watch and {name} exclude each other.")


def _given(spec: str | None, config: str | None) -> SpecText | None:
    name = spec if spec is not None else config
    if name is None:
        return None
    try:
        text = Path(name).read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CannotReadError(f"`{name}` cannot be read: {error}") from None
    if spec is not None:
        return SpecText.of(name, text)
    try:
        return ConfigText.read(name, text)
    except UnknownConfigError as error:
        hint = f"--spec {name}" if SpecText.of(name, text).spec else ""
        raise CannotReadError(str(error), hint) from None


def _show(
    diagnosis: Diagnosis, comparison: Comparison | None, format: str, only_compare: bool
) -> None:
    if format == "json":
        print_json(report_json(diagnosis, comparison))
        return
    if format == "github":
        from ftspec.doctor.github import as_github

        print(as_github(diagnosis), end="")
        return
    paint, unicode = painter(sys.stdout), speaks_unicode(sys.stdout)
    columns = min(WIDEST, width())
    if not only_compare:
        print(as_text(diagnosis, paint, columns, unicode), end="")
    if comparison is not None:
        from ftspec.doctor.overlay import comparison_text

        gap = "" if only_compare else "\n"
        print(gap + comparison_text(comparison, paint, columns), end="")


def _write_html(diagnosis: Diagnosis, comparison: Comparison | None, path: Path) -> None:
    from ftspec.doctor.html import as_html

    try:
        path.write_text(as_html(diagnosis, comparison), encoding="utf-8")
    except OSError as error:
        raise Failure(f"`{path}` cannot be written: {error.strerror}") from None
    print(f"wrote {path}", file=sys.stderr)
