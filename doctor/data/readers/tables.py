"""Tables: CSV by Python's own reader, Parquet by pyarrow where it is installed."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any, BinaryIO

from ftspec.doctor.data.readers.decoder import encodes
from ftspec.doctor.data.readers.source import Meter, Source, opened
from ftspec.doctor.data.record import Fault, Record, UnreadableDataError

BATCH = 4096  # rows
FIELD = 64 * 2**20  # characters of one field


def read_csv(stream: BinaryIO, delimiter: str = ",") -> Iterator[Record]:
    """Yield the rows of a table with a header; one with more or fewer fields is broken."""
    csv.field_size_limit(FIELD)
    text = io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape", newline="")
    try:
        yield from _csv_rows(csv.reader(text, delimiter=delimiter))
    finally:
        text.detach()  # the stream is closed by whoever opened it


def _csv_rows(reader: Any) -> Iterator[Record]:
    header: list[str] | None = None
    number = last = 0
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            number += 1
            yield Record(number, last + 1, fault=Fault(str(error), reader.line_num))
            last = reader.line_num
            continue
        line, last = last + 1, reader.line_num
        if not fields:
            continue
        if header is None:
            header = [_escaped(name) for name in fields]
            continue
        number += 1
        yield _row(number, line, header, fields)


def _row(number: int, line: int, header: list[str], fields: list[str]) -> Record:
    raw = ",".join(fields)
    if not raw.isascii() and not encodes(raw):
        return Record(number, line, fault=Fault("is not UTF-8", line), raw=_escaped(raw))
    if len(fields) != len(header):
        words = f"has {len(fields)} fields, the header {len(header)}"
        return Record(number, line, fault=Fault(words, line), raw=raw)
    return Record(number, line, dict(zip(header, fields, strict=True)))


def _escaped(text: str) -> str:
    """Return a text with bytes that were no UTF-8 written as escapes."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def read_parquet(source: Source, meter: Meter | None = None) -> Iterator[Record]:
    """Yield the rows of a Parquet file, which has no lines."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UnreadableDataError(
            f"reading `{source.name}` needs pyarrow", "pip install 'ftspec[train]'"
        ) from None
    number = 0
    try:
        with opened(source, meter) as stream:
            # A packed file cannot be read at any place: it is held as a whole.
            file: Any = pyarrow.BufferReader(stream.read()) if source.packed else stream
            for batch in parquet.ParquetFile(file).iter_batches(BATCH):
                for value in batch.to_pylist():
                    number += 1
                    yield Record(number, None, value)
    except (pyarrow.ArrowException, UnicodeDecodeError, OSError) as error:
        words = str(error).splitlines()[0] if str(error) else "cannot be read"
        raise UnreadableDataError(f"`{source.name}` is no whole Parquet file: {words}") from error
