"""Read W&B's offline files (`run-<id>.wandb`): a LevelDB log of protobuf messages.

The file begins with `:W&B`, a magic number and a version; then blocks of 32 KiB hold chunks, each
with a checksum (4 bytes), a length (2) and a type (1): 1 whole, 2 first, 3 middle, 4 last part
(wandb/sdk/internal/datastore.py; LevelDB, doc/log_format.md). Of a Record field 2 is history; its
items have a key (1), a nested key (2) and a value in JSON (16) (wandb/proto/wandb_internal.proto).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

from ftspec.doctor.curves.log import Log
from ftspec.doctor.curves.readers.builder import Builder
from ftspec.doctor.curves.readers.protobuf import Broken, fields
from ftspec.doctor.curves.readers.reader import SURE, Reader
from ftspec.doctor.curves.series import Run

FORMAT = "wandb"
MAGIC = b":W&B"
HEADER, BLOCK, CHUNK = 7, 32 * 1024, 7
HISTORY = 2


def score(log: Log) -> float:
    """Say whether it begins as such files do."""
    return SURE if log.first_bytes[:4] == MAGIC else 0.0


def read(log: Log) -> Run:
    """Read the history."""
    builder = Builder()
    with log.open() as stream:
        log.take(stream, HEADER)
        for message in _messages(log, stream, builder):
            try:
                row = _history(message)
            except Broken as error:
                builder.problem(f"a record cannot be read: {error}")
                continue
            if row:
                builder.row(row)
    return builder.run(log.name, FORMAT)


def _messages(log: Log, stream: BinaryIO, builder: Builder) -> Iterator[bytes]:
    """Yield whole messages, put together from their chunks; skip what is cut off."""
    parts: list[bytes] = []
    room = BLOCK - HEADER
    while block := log.take(stream, room):
        place = 0
        while place + CHUNK <= len(block):
            size, kind = struct.unpack_from("<HB", block, place + 4)
            data = block[place + CHUNK : place + CHUNK + size]
            if kind == 0 and size == 0:
                break
            if kind not in (1, 2, 3, 4) or len(data) < size:
                builder.problem("a block is cut off or broken")
                parts = []
                break
            parts = [*parts, data] if kind in (3, 4) else [data]
            if kind in (1, 4):
                yield b"".join(parts)
                parts = []
            place += CHUNK + size
        room = BLOCK


def _history(message: bytes) -> dict[str, Any] | None:
    """Return the row that a record holds, if it is one of history."""
    row: dict[str, Any] = {}
    for number, value in fields(message):
        if number != HISTORY or not isinstance(value, bytes):
            continue
        for item_number, item in fields(value):
            if item_number == 1 and isinstance(item, bytes):
                key, logged = _item(item)
                if isinstance(logged, int | float | str | dict) and key:
                    row[key] = logged
    return row or None


def _item(message: bytes) -> tuple[str, Any]:
    names, text = [], b""
    for number, value in fields(message):
        if not isinstance(value, bytes):
            continue
        if number in (1, 2):
            names.append(value.decode("utf-8", "replace"))
        elif number == 16:
            text = value
    try:
        return "/".join(names), json.loads(text)
    except (ValueError, RecursionError):
        return "", None


READER = Reader(FORMAT, "W&B offline run", score, read)
