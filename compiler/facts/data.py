"""Facts of the data: which files, which format, how many rows, and a hash of the content."""

from __future__ import annotations

import csv
import glob
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftspec.compiler.facts.formats import Row, columns_of, detect
from ftspec.spec.formats import FIELDS

KINDS = {".json": "json", ".jsonl": "json", ".ndjson": "json", ".csv": "csv", ".parquet": "parquet"}


class DataUnreadableError(Exception):
    """A data file cannot be used; the message names it, and the line where there is one."""


@dataclass(frozen=True, slots=True)
class DataFacts:
    """What is known of one part of the data (train or eval).

    kind: json, csv, parquet, or hub. columns: field of the format -> column of the file. distinct:
    rows that differ from one another.
    """

    kind: str
    files: tuple[Path, ...] = ()
    hub: str | None = None
    split: str = "train"
    rows: int | None = None
    format: str | None = None
    columns: Mapping[str, str] | None = None
    digest: str | None = None
    sample: tuple[Row, ...] = ()
    distinct: int | None = None
    note: str = ""


def resolve_data(
    sources: Sequence[str],
    root: Path,
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> DataFacts:
    """Find and read the data that `sources` name, as seen from the folder `root`.

    A source is a path, a glob or a hub id. Raises DataUnreadableError where a file is missing,
    broken or of no known format.
    """
    if len(sources) == 1 and _is_hub_id(sources[0], root):
        name, _, split = sources[0].partition(":")
        return DataFacts("hub", hub=name, split=split or "train", format=format, columns=columns)
    files = tuple(path for source in sources for path in _expand(source, root))
    kinds = {kind_of(path) for path in files}
    if len(kinds) > 1:
        raise DataUnreadableError(
            f"the files are of several kinds ({', '.join(sorted(kinds))}); give files of one kind"
        )
    kind = kinds.pop()
    digest = hashlib.sha256()
    rows: list[Row] = []
    for path in files:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataUnreadableError(f"`{path.name}` cannot be read: {error.strerror}") from error
        digest.update(hashlib.sha256(content).digest())
        try:
            rows.extend(read_rows(content, kind, path.name))
        except ImportError:
            note = "reading Parquet needs pyarrow: pip install 'ftspec[train]'"
            return DataFacts(kind, files, format=format, columns=columns, note=note)
    if not rows:
        raise DataUnreadableError(f"{_shown(files)} holds no rows")
    found_format, found_columns = _format(rows, format, columns, _shown(files))
    _check_turns(rows, found_format, found_columns, _shown(files))
    return DataFacts(
        kind,
        files,
        rows=len(rows),
        format=found_format,
        columns=found_columns,
        digest=digest.hexdigest(),
        sample=tuple(rows),
        distinct=len({json.dumps(row, sort_keys=True, default=str) for row in rows}),
    )


def _is_hub_id(source: str, root: Path) -> bool:
    path = source.partition(":")[0]
    if (root / source).exists() or glob.has_magic(path) or path.startswith((".", "/", "~")):
        return False
    return Path(path).suffix.lower() not in KINDS and path.count("/") <= 1


def _expand(source: str, root: Path) -> list[Path]:
    path = root / Path(source).expanduser()
    if glob.has_magic(source) and not path.exists():
        found = sorted(Path(item) for item in glob.glob(str(path), recursive=True))
        found = [item for item in found if item.is_file()]
        if not found:
            raise DataUnreadableError(f"no file matches `{source}`")
        return found
    if path.is_dir():
        raise DataUnreadableError(
            f"`{source}` is a folder; name its files, as in `{source}/*.jsonl`"
        )
    if not path.is_file():
        raise DataUnreadableError(f"there is no file `{source}`")
    return [path]


def kind_of(path: Path) -> str:
    """Return the loader for a file's ending: json, csv or parquet."""
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        raise DataUnreadableError(
            f"`{path.name}` ends in none of {', '.join(KINDS)}: rename or convert it"
        )
    return kind


def read_rows(content: bytes, kind: str, shown: str) -> Iterator[Row]:
    """Yield the rows of a file's content. Raises DataUnreadableError with the line at fault."""
    if kind == "parquet":
        yield from _parquet_rows(content, shown)
        return
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataUnreadableError(f"`{shown}` is not UTF-8 text, first on line {line}") from error
    if kind == "csv":
        yield from _csv_rows(text, shown)
    elif text.lstrip()[:1] == "[":
        yield from _array_rows(text, shown)
    else:
        yield from _line_rows(text, shown)


def _line_rows(text: str, shown: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (RecursionError, ValueError) as error:
            raise DataUnreadableError(f"`{shown}` line {number} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise DataUnreadableError(f"`{shown}` line {number} is not a JSON object")
        yield row


def _array_rows(text: str, shown: str) -> Iterator[Row]:
    try:
        rows = json.loads(text)
    except (RecursionError, ValueError) as error:
        raise DataUnreadableError(f"`{shown}` is not JSON: {error}") from error
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise DataUnreadableError(f"`{shown}`: entry {number} is not a JSON object")
        yield row


def _csv_rows(text: str, shown: str) -> Iterator[Row]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        for row in reader:
            if None in row:
                raise DataUnreadableError(
                    f"`{shown}` line {reader.line_num} has more fields than the header"
                )
            yield row
    except csv.Error as error:
        raise DataUnreadableError(f"`{shown}` line {reader.line_num}: {error}") from error


def _parquet_rows(content: bytes, shown: str) -> Iterator[Row]:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(pyarrow.BufferReader(content))
    except pyarrow.ArrowInvalid as error:
        raise DataUnreadableError(f"`{shown}` is not Parquet: {error}") from error
    for batch in table.to_batches(max_chunksize=4096):
        yield from batch.to_pylist()


def _format(
    rows: list[Row], format: str | None, columns: Mapping[str, str] | None, shown: str
) -> tuple[str, dict[str, str]]:
    names = list(dict.fromkeys(key for row in rows[:100] for key in row))
    if columns and format is None:
        format = next(
            (name for name, fields in FIELDS.items() if set(columns) <= set(fields)), None
        )
    if format is None:
        found = detect(names, rows[0])
        if found is None:
            raise DataUnreadableError(
                f"{shown}: the columns {', '.join(names) or 'none'} are of no known format"
            )
        return found
    given = dict(columns or {})
    lacking = [column for column in given.values() if column not in names]
    inner = ("from", "value", "role", "content")
    lacking = [item for item in lacking if not any(given.get(key) == item for key in inner)]
    if lacking:
        raise DataUnreadableError(
            f"{shown} has no column `{lacking[0]}`; it has {', '.join(names)}"
        )
    renamed = [key for key in FIELDS[format] if key in given]
    found_columns = columns_of(format, [*names, *renamed]) or {}
    detected = detect(names, rows[0])
    if detected and detected[0] == format:
        found_columns = {**detected[1], **found_columns}
    defaults = {key: key for key in inner if key in FIELDS[format]}
    merged = {**defaults, **found_columns, **given}
    missing = [key for key in FIELDS[format] if key not in merged and key != "input"]
    if missing:
        raise DataUnreadableError(
            f"{shown} has no column `{missing[0]}`, which `{format}` needs; "
            f"it has {', '.join(names)}"
        )
    return format, {key: merged[key] for key in FIELDS[format] if key in merged}


def _check_turns(rows: Sequence[Row], format: str, columns: Mapping[str, str], shown: str) -> None:
    """Raise DataUnreadableError for the first conversation that is no list of maps."""
    column = columns.get("messages") or columns.get("conversations")
    if format not in ("messages", "sharegpt") or column is None:
        return
    for number, row in enumerate(rows, start=1):
        turns = row.get(column)
        if turns is None:
            continue
        if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
            raise DataUnreadableError(
                f"{shown}: `{column}` of row {number} is not a list of turns with keys"
            )


def _shown(files: Sequence[Path]) -> str:
    names = [f"`{path.name}`" for path in files]
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def as_text(value: Any) -> str:
    """Return a field's value as the text that the scripts see."""
    return "" if value is None else str(value)
