"""Writers of cleaned data: a temporary file beside the goal, moved there when it is whole."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from ftspec.doctor.data.record import Record, UnreadableDataError

ENDINGS = (".jsonl", ".ndjson", ".json", ".csv")


def kind_of(path: Path) -> str:
    """Return how a file of that name is written. Raises UnreadableDataError for another name."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    ending = suffixes[-1] if suffixes else ""
    if ending not in ENDINGS:
        raise UnreadableDataError(
            f"`{path.name}` cannot be written", f"endings that are written: {', '.join(ENDINGS)}"
        )
    return {".json": "array", ".csv": "csv"}.get(ending, "lines")


def text_of(value: Any) -> str:
    """Return a value as JSON on one line; what UTF-8 cannot hold is written as an escape."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, default=str)
    return text


class Rows:
    """Writes rows one by one in the form that the file's name asks for."""

    def __init__(self, file: BinaryIO, kind: str) -> None:
        self._file, self._kind, self._count = file, kind, 0
        self._header: list[str] = []

    def write(self, value: Any, record: Record, changed: bool) -> None:
        """Write a row; one of JSON lines that did not change stays as it was, byte for byte."""
        if self._kind == "csv":
            self._csv(value)
        else:
            keep = self._kind == "lines" and record.raw and not changed
            text = record.raw if keep else text_of(value)
            before = "" if self._kind == "lines" else "[\n" if not self._count else ",\n"
            after = "\n" if self._kind == "lines" else ""
            self._file.write(f"{before}{text}{after}".encode())
        self._count += 1

    def _csv(self, value: Any) -> None:
        fields = value if isinstance(value, dict) else {}
        if any(isinstance(item, dict | list) for item in fields.values()):
            raise UnreadableDataError(
                "a table cannot hold conversations", "give -o a name that ends in .jsonl"
            )
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        if not self._count:
            self._header = list(fields)
            writer.writerow(self._header)
        if set(fields) - set(self._header):
            raise UnreadableDataError(
                "rows have different columns", "give -o a name that ends in .jsonl"
            )
        writer.writerow(
            ["" if (item := fields.get(name)) is None else item for name in self._header]
        )
        self._file.write(text.getvalue().encode("utf-8", "surrogatepass"))

    def end(self) -> None:
        """Write what comes after the last row."""
        if self._kind == "array":
            self._file.write(b"\n]\n" if self._count else b"[]\n")


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes its name only when all of it is written; else nothing is left."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            if path.suffix.lower() == ".gz":  # without name and time: the same rows, same bytes
                with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed:
                    yield cast(BinaryIO, packed)
            else:
                yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
