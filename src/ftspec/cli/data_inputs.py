"""What the data commands are given: files, a spec that says how to read them, a model."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from ftspec.cli.failure import CannotReadError
from ftspec.cli.inputs import read_spec
from ftspec.compiler.facts.formats import USUAL_NAMES
from ftspec.doctor.data.layout import Layout
from ftspec.doctor.data.readers.source import Source, find_sources
from ftspec.doctor.data.record import UnreadableDataError
from ftspec.spec.formats import FIELDS
from ftspec.spec.model import Spec
from ftspec.spec.values import parse_share

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class DataInputs:
    """Files, those held out, and what a spec says of them; `spec` is None without one."""

    sources: tuple[Source, ...]
    held_out: tuple[Source, ...]
    layout: Layout | None
    spec: Spec | None
    root: Path


def data_options(function: Function) -> Function:
    """Add FILE…, --spec and --eval."""
    function = click.option(
        "--eval", "held_out", multiple=True, metavar="FILE", help="Held-out rows, for leakage."
    )(function)
    function = click.option(
        "--spec", "spec_file", metavar="SPEC", help="The spec: format, columns, model, lengths."
    )(function)
    return click.argument("files", nargs=-1)(function)


def read_inputs(files: Sequence[str], spec_file: str | None, held_out: Sequence[str]) -> DataInputs:
    """Find the files; where none is named, those of the spec. Raises CannotReadError."""
    spec, root = None, Path()
    if spec_file is not None:
        parsed, root = read_spec(spec_file)
        if parsed.spec is None:
            raise CannotReadError(f"`{spec_file}` has errors", f"ftspec check {spec_file}")
        spec = parsed.spec
    try:
        if files:
            sources = find_sources(files, Path(), online=True)
        elif spec is not None and spec.data.train is not None:
            sources = find_sources(spec.data.train, root, online=True)
        else:
            raise click.UsageError("No file is named, and no spec that names one.")
        beside = spec.data.eval if spec is not None else None
        if held_out:
            kept = find_sources(held_out, Path(), online=True)
        elif beside and beside != "none" and parse_share(beside) is None:
            kept = find_sources([beside], root, online=True)
        else:
            kept = ()
    except UnreadableDataError as error:
        raise CannotReadError(str(error), error.help) from None
    return DataInputs(sources, kept, layout_of(spec), spec, root)


def layout_of(spec: Spec | None) -> Layout | None:
    """Return the layout that a spec names; None where it is to be told from the rows."""
    if spec is None or not (spec.data.columns or spec.data.format):
        return None
    given = dict(spec.data.columns or {})
    format: str | None = spec.data.format
    if format is None:
        format = next((name for name, fields in FIELDS.items() if set(given) <= set(fields)), None)
    if format is None or not given:
        return None  # the format alone: the usual names of its columns are told from the rows
    usual = {name: names[0] for name, names in USUAL_NAMES[format].items()}
    turns = ("from", "value", "role", "content")
    inner: dict[str, str] = {name: name for name in turns if name in FIELDS[format]}
    return Layout(format, {**usual, **inner, **given})


def said_progress(stream: Any = None) -> Callable[[str], None] | None:
    """Return what says how far a check has come: on a terminal one line that is written over."""
    stream = stream or sys.stderr
    if not stream.isatty():
        return None

    def say(words: str) -> None:
        print(f"\r\x1b[K{words}", end="", file=stream, flush=True)

    return say
