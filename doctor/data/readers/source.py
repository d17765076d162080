"""From what a user types to files: globs, kinds by ending or first bytes, gzip and zstandard."""

from __future__ import annotations

import glob
import gzip
import io
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from ftspec.doctor.data.readers import hub
from ftspec.doctor.data.record import UnreadableDataError

# An ending of `lines` is one row a line; `json` is looked into; kinds as the compiler's readers.
KINDS = {
    ".json": "json",
    ".jsonl": "lines",
    ".ndjson": "lines",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}
PACKED = {".gz": "gzip", ".gzip": "gzip", ".zst": "zstd", ".zstd": "zstd"}
MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
BUFFER = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """A data file: its path, the name to show, its kind, and how it is packed (``, gzip, zstd)."""

    path: Path
    name: str
    kind: str
    packed: str = ""
    tabs: bool = False


def find_sources(names: Sequence[str], root: Path, *, online: bool = False) -> tuple[Source, ...]:
    """Return the files that paths and globs mean, seen from a folder; each file once, in order.

    `online`: a name of no file that may be a data set of a hub is fetched from there. Raises
    UnreadableDataError for a name that means no file.
    """
    found: dict[Path, Source] = {}
    for name in names:
        if online and hub.is_id(name) and not (root / name).exists():
            files = [(path, f"{name}/{file}") for path, file in hub.files_of(name)]
        else:
            files = _expanded(name, root)
        for path, shown in files:
            found.setdefault(path.resolve(), _source(path, shown))
    return tuple(found.values())


def _expanded(name: str, root: Path) -> list[tuple[Path, str]]:
    path = root / Path(name).expanduser()
    try:
        if path.is_file():
            return [(path, name)]
        folder = path.is_dir()
    except (OSError, ValueError) as error:
        raise UnreadableDataError(f"`{name}` cannot be read: {error}") from error
    if folder:
        inside = f"{name.rstrip('/')}/*.jsonl"
        raise UnreadableDataError(f"`{name}` is a folder", f"name its files, as in '{inside}'")
    if glob.has_magic(name):
        matches = sorted(glob.glob(str(path), recursive=True))
        files = [Path(match) for match in matches if os.path.isfile(match)]
        if files:
            relative = not os.path.isabs(name) and root != Path()
            return [(f, os.path.relpath(f, root) if relative else str(f)) for f in files]
        raise UnreadableDataError(f"no file matches `{name}`")
    raise UnreadableDataError(f"there is no file `{name}`")


def _source(path: Path, name: str) -> Source:
    """Return a file with its kind: by its ending, else by its first bytes."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = PACKED.get(suffixes[-1], "") if suffixes else ""
    endings = suffixes[:-1] if packed else suffixes
    head = _head(path, name)
    if packed and not any(head.startswith(magic) for magic in MAGIC):
        packed = ""  # named so, and plain all the same
    else:
        packed = next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), packed)
    kind = KINDS.get(endings[-1]) if endings else None
    if kind is None:
        kind = "parquet" if head.startswith(b"PAR1") else "json"
        if not packed and kind == "json" and head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in b"[{":
            raise UnreadableDataError(
                f"`{name}` is of no known kind", f"endings that are read: {', '.join(KINDS)}"
            )
    return Source(path, name, kind, packed, bool(endings) and endings[-1] == ".tsv")


def _head(path: Path, name: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(64)
    except OSError as error:
        raise UnreadableDataError(f"`{name}` cannot be read: {error.strerror}") from error


@dataclass(slots=True)
class Meter:
    """Says how far a file has been read."""

    file: BinaryIO | None = None
    size: int = 0

    @property
    def share(self) -> float:
        """The share of the file's bytes that was read; 1 when it is closed."""
        if self.file is None or self.file.closed or not self.size:
            return 1.0
        return min(1.0, self.file.tell() / self.size)


@contextmanager
def opened(source: Source, meter: Meter | None = None) -> Iterator[BinaryIO]:
    """Open a file for reading, unpacked. Raises UnreadableDataError where it cannot be.

    A packed stream that is cut or damaged ends early, and the error is told as the file's.
    """
    try:
        file = source.path.open("rb", buffering=BUFFER)
    except OSError as error:
        raise UnreadableDataError(f"`{source.name}` cannot be read: {error.strerror}") from error
    with file:
        if meter is not None:
            meter.file, meter.size = file, os.fstat(file.fileno()).st_size
        if not source.packed:
            yield file
            return
        with _unpacked(file, source) as stream:
            yield cast(BinaryIO, io.BufferedReader(_Unpacked(stream, source), BUFFER))


@contextmanager
def _unpacked(file: BinaryIO, source: Source) -> Iterator[Any]:
    if source.packed == "gzip":
        with gzip.GzipFile(fileobj=file, mode="rb") as stream:
            yield stream
        return
    try:
        import zstandard
    except ImportError:
        raise UnreadableDataError(
            f"`{source.name}` is packed with zstandard", "pip install zstandard"
        ) from None
    with zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as stream:
        yield stream


class _Unpacked(io.RawIOBase):
    """An unpacked stream whose damage is one kind of error, told with the file's name."""

    def __init__(self, stream: Any, source: Source) -> None:
        self._stream, self._source = stream, source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._stream.read(len(buffer))
        except (EOFError, OSError, zlib.error) as error:
            raise self._damaged(error) from error
        except Exception as error:  # zstandard.ZstdError, where that is installed
            if type(error).__name__ != "ZstdError":
                raise
            raise self._damaged(error) from error
        buffer[: len(data)] = data
        return len(data)

    def _damaged(self, error: Exception) -> UnreadableDataError:
        return UnreadableDataError(
            f"`{self._source.name}` is damaged: {error}",
            "download it again; what could be unpacked ends inside a row",
        )
