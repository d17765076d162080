"""A log before it is read: a name and bytes that can be read again, as text or in blocks."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, cast

HEAD_BYTES = 64 * 1024  # what a reader looks at of one place to know its format
WINDOWS = 8  # places looked at: some logs begin with megabytes of warnings
WINDOWS_OF_PACKED = 16 * 1024 * 1024  # of a packed log only so much is unpacked to look at
BLOCK = 1024 * 1024
LONGEST_LINE = 16 * BLOCK
IN_MEMORY = 64 * BLOCK
_LOSS = re.compile("[lL]oss|LOSS")
GZIP = b"\x1f\x8b"


class UnreadableLogError(Exception):
    """A path that cannot be read at all; `help` says what to give instead."""

    def __init__(self, message: str, help: str = "") -> None:
        super().__init__(message)
        self.help = help


@dataclass(frozen=True)
class Log:
    """A named stream of bytes. Undecodable bytes become U+FFFD: no input is refused here.

    A folder may be a log too (MLflow, TensorBoard): it has a `path` and no bytes. `faults` is
    what went wrong below the format: a packed file that is cut off.
    """

    name: str
    open: Callable[[], BinaryIO]
    path: Path | None = None
    faults: list[str] = field(default_factory=list)

    @classmethod
    def of_path(cls, path: Path) -> Log:
        """Make a log of a file or a folder. Raises UnreadableLogError where it cannot be opened."""
        if path.is_dir():
            return cls(str(path), io.BytesIO, path)
        try:
            with path.open("rb") as stream:
                packed = stream.read(2) == GZIP
        except OSError as error:
            raise UnreadableLogError(f"`{path}` cannot be read: {error.strerror}") from error
        if packed:
            return cls(str(path), lambda: cast(BinaryIO, gzip.open(path, "rb")))
        return cls(str(path), lambda: path.open("rb"), path)

    @classmethod
    def of_bytes(cls, name: str, data: bytes) -> Log:
        """Make a log of what is in memory already (standard input, a test)."""
        if data[:2] == GZIP:
            return cls(name, lambda: cast(BinaryIO, gzip.open(io.BytesIO(data), "rb")))
        return cls(name, lambda: io.BytesIO(data))

    @classmethod
    def of_stream(cls, name: str, stream: BinaryIO) -> Log:
        """Make a log of a stream that is read once (standard input); a long one goes to disk."""
        data = stream.read(IN_MEMORY + 1)
        if len(data) <= IN_MEMORY:
            return cls.of_bytes(name, data)
        kept = tempfile.NamedTemporaryFile(prefix="ftspec-log-")
        kept.write(data)
        shutil.copyfileobj(stream, kept, BLOCK)
        kept.flush()
        log = cls.of_path(Path(kept.name))
        # the closure keeps the file: it goes when the log goes
        return cls(name, lambda: log.open() if kept else io.BytesIO())

    @property
    def folder(self) -> Path | None:
        """The folder, where the log is one."""
        return self.path if self.path is not None and self.path.is_dir() else None

    @cached_property
    def first_bytes(self) -> bytes:
        """The first 64 KiB."""
        with self.open() as stream:
            return self.take(stream, HEAD_BYTES)

    def take(self, stream: BinaryIO, size: int) -> bytes:
        """Read up to `size` bytes; where a packed stream is broken, what there is of it."""
        parts = []
        try:
            # read1 gives what there is before it finds that the rest is broken
            while size > 0 and (part := getattr(stream, "read1", stream.read)(min(size, BLOCK))):
                parts.append(part)
                size -= len(part)
        except (EOFError, OSError, zlib.error) as error:
            fault = f"the file is cut off or broken ({error}); what came before it was read"
            if fault not in self.faults:
                self.faults.append(fault)
        return b"".join(parts)

    @property
    def encoding(self) -> str:
        """UTF-16 where a byte-order mark says so, else UTF-8."""
        return "utf-16" if self.first_bytes[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"

    @cached_property
    def head(self) -> str:
        """The first 64 KiB as text."""
        return self.first_bytes.decode(self.encoding, errors="replace")

    @cached_property
    def windows(self) -> tuple[str, ...]:
        """Whole lines from the start, the end and places between, 64 KiB each.

        Where none of them speaks of a loss, the first place that does is one as well.
        """
        if self.encoding == "utf-16":
            return (self.head,)
        head = self.head
        with self.open() as stream:
            if isinstance(stream, gzip.GzipFile):
                stream = io.BytesIO(self.take(stream, WINDOWS_OF_PACKED))
            found = [head, *self._beyond_the_head(stream)]
        if len(found) == WINDOWS and not any(_LOSS.search(window) for window in found):
            found += self._first_loss()
        return tuple(found)

    def _beyond_the_head(self, stream: BinaryIO) -> Iterator[str]:
        size = stream.seek(0, io.SEEK_END)
        apart = size > WINDOWS * HEAD_BYTES
        for place in range(1, WINDOWS):
            start = place * HEAD_BYTES
            if apart:
                start = (size - HEAD_BYTES) * place // (WINDOWS - 1)
            if start >= size:
                return
            stream.seek(start)
            text = self.take(stream, HEAD_BYTES).decode("utf-8", errors="replace")
            yield text.partition("\n")[2] if apart else text

    def _first_loss(self) -> Iterator[str]:
        for _, block in self.blocks():
            match = _LOSS.search(block)
            if match:
                start = block.rfind("\n", 0, match.start()) + 1
                yield block[start : start + HEAD_BYTES]
                return

    def text(self) -> str:
        """Return the whole text."""
        return "".join(self.pieces())

    def pieces(self) -> Iterator[str]:
        """Yield the text in pieces of about 1 MiB, wherever they end."""
        decoder = codecs.getincrementaldecoder(self.encoding)("replace")
        with self.open() as stream:
            while part := self.take(stream, BLOCK):
                yield decoder.decode(part)
        yield decoder.decode(b"", True)

    def blocks(self) -> Iterator[tuple[int, str]]:
        """Yield whole lines, about 1 MiB at a time, with the first one's number (from 1).

        A line ends with a line feed; one that is longer than 16 MiB is broken in two.
        """
        number, rest = 1, ""
        for piece in self.pieces():
            text = rest + piece if rest else piece
            end = text.rfind("\n") + 1
            if not end and len(text) > LONGEST_LINE:
                end = text.rfind("\r") + 1 or len(text)
            if end:
                yield number, text[:end]
                number += text.count("\n", 0, end)
            rest = text[end:]
        if rest:
            yield number, rest

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield line number (from 1) and line, without holding the whole in memory."""
        for first, text in self.blocks():
            lines = text.split("\n")
            if lines[-1] == "":
                lines.pop()
            yield from enumerate(lines, first)
