"""Readers of data files: a row at a time in bounded memory, and on after a broken one."""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.doctor.data.readers import json_lines, json_text, tables
from ftspec.doctor.data.readers.json_lines import Wanted, every
from ftspec.doctor.data.readers.source import Meter, Source, opened
from ftspec.doctor.data.record import Fault, Record, UnreadableDataError


def read(source: Source, wanted: Wanted = every, meter: Meter | None = None) -> Iterator[Record]:
    """Yield the rows of a file, broken ones included, each with its number and line.

    Of rows that are not `wanted`, by their number, the value may be left out: it costs time.
    `meter` says on the way how far the reading is. A file that is damaged on the way ends with a
    broken row. Raises UnreadableDataError where it cannot be opened, its reader is not
    installed, or not one row can be had.
    """
    number, line = 0, None
    try:
        for record in _read(source, wanted, meter):
            number, line = record.number, record.line
            yield record
    except UnreadableDataError as error:
        if not number:
            raise
        yield Record(number + 1, line, fault=Fault(str(error), line))


def _read(source: Source, wanted: Wanted, meter: Meter | None) -> Iterator[Record]:
    if source.kind == "parquet":
        yield from tables.read_parquet(source, meter)
        return
    with opened(source, meter) as stream:
        if source.kind == "csv":
            yield from tables.read_csv(stream, "\t" if source.tabs else ",")
        elif source.kind == "lines" or json_text.is_lines(stream):
            yield from json_lines.read_lines(stream, wanted)
        else:
            yield from json_text.read_values(stream)
