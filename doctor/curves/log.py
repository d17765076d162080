"""A log before it is read: a name and bytes that can be read again, as text or line by line."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

HEAD_BYTES = 64 * 1024  # what a reader may look at to know its format


class UnreadableLogError(Exception):
    """A path that cannot be read at all; `help` says what to give instead."""

    def __init__(self, message: str, help: str = "") -> None:
        super().__init__(message)
        self.help = help


@dataclass(frozen=True)
class Log:
    """A named stream of bytes. Undecodable bytes become U+FFFD: no input is refused here."""

    name: str
    open: Callable[[], BinaryIO]

    @classmethod
    def of_path(cls, path: Path) -> Log:
        """Make a log of a file. Raises UnreadableLogError where it cannot be opened."""
        try:
            path.open("rb").close()
        except OSError as error:
            raise UnreadableLogError(f"`{path}` cannot be read: {error.strerror}") from error
        return cls(str(path), lambda: path.open("rb"))

    @classmethod
    def of_bytes(cls, name: str, data: bytes) -> Log:
        """Make a log of what is in memory already (standard input, a test)."""
        return cls(name, lambda: io.BytesIO(data))

    @cached_property
    def _first_bytes(self) -> bytes:
        with self.open() as stream:
            return stream.read(HEAD_BYTES)

    @property
    def encoding(self) -> str:
        """UTF-16 where a byte-order mark says so, else UTF-8."""
        return "utf-16" if self._first_bytes[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"

    @cached_property
    def head(self) -> str:
        """The first 64 KiB as text."""
        return self._first_bytes.decode(self.encoding, errors="replace")

    def text(self) -> str:
        """Return the whole text."""
        with self.open() as stream:
            return stream.read().decode(self.encoding, errors="replace")

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield line number (from 1) and line, without holding the whole in memory."""
        with (
            self.open() as stream,
            io.TextIOWrapper(stream, self.encoding, errors="replace") as text,
        ):
            for number, line in enumerate(text, 1):
                yield number, line.rstrip("\n")
