"""Read TensorBoard event files: TFRecord frames around protobuf messages, in plain Python.

A frame is a length (8 bytes, little-endian), its checksum (4), the message, its checksum (4); see
tensorflow/core/lib/io/record_writer.h. Of an Event (tensorflow/core/util/event.proto) the fields
are 1 wall_time, 2 step, 5 summary; of a Summary's value 1 tag, 2 simple_value, 8 tensor. Files
of one run in one folder are read in the order of their names, which begin with their time.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ftspec.doctor.curves.log import Log
from ftspec.doctor.curves.readers.builder import Builder
from ftspec.doctor.curves.readers.protobuf import Broken, fields
from ftspec.doctor.curves.readers.reader import SURE, Reader
from ftspec.doctor.curves.series import Run

FORMAT = "tensorboard"
NAME = "events.out.tfevents"
LARGEST = 64 * 1024 * 1024  # of one message: an image is skipped, nonsense is not believed
HELD_OUT = ("validation", "val", "eval", "test")


def score(log: Log) -> float:
    """Say whether it begins with a frame that holds an Event, or is a folder of such files."""
    if log.folder is not None:
        return SURE if event_files(log.folder) else 0.0
    data = log.first_bytes
    if len(data) < 25:
        return 0.0
    (size,) = struct.unpack_from("<Q", data)
    return SURE if 9 <= size < 4096 and data[12] == 0x09 and _is_event(data[12 : 12 + size]) else 0


def _is_event(message: bytes) -> bool:
    try:
        return any(number in (2, 3, 5) for number, _ in fields(message))
    except Broken:
        return False


def read(log: Log) -> Run:
    """Read the scalars; those of one step are one row."""
    builder = Builder()
    if log.folder is not None:
        for file in event_files(log.folder):
            held_out = file.parent != log.folder and file.parent.name in HELD_OUT
            _read_file(Log.of_path(file), builder, "eval/" if held_out else "")
    else:
        _read_file(log, builder, "")
    return builder.run(log.name, FORMAT)


def event_files(folder: Path) -> list[Path]:
    """Return the event files of one run: a folder's own, and Keras's `train` and `validation`."""
    own = sorted(folder.glob(f"{NAME}*"))
    for name in ("train", *HELD_OUT):
        own += sorted((folder / name).glob(f"{NAME}*"))
    return [file for file in own if file.is_file()]


def _read_file(log: Log, builder: Builder, prefix: str) -> None:
    row: dict[str, float] = {}
    for step, tag, value in _scalars(log, builder):
        name = _renamed(tag, prefix)
        if row and (row["step"] != step or name in row):
            builder.row(row)
            row = {}
        row.setdefault("step", float(step))
        row[name] = value
    if row:
        builder.row(row)


def _renamed(tag: str, prefix: str) -> str:
    """Name Keras's tags (`epoch_loss`, in a folder `validation`) as others do."""
    plain = tag.removeprefix("epoch_") if prefix or tag.startswith("epoch_") else tag
    return "keras_step" if plain == "step" else prefix + plain


def _scalars(log: Log, builder: Builder) -> Iterator[tuple[int, str, float]]:
    with log.open() as stream:
        for message in _frames(log, stream, builder):
            try:
                yield from _of_event(message)
            except Broken as error:
                builder.problem(f"an event cannot be read: {error}")


def _frames(log: Log, stream: BinaryIO, builder: Builder) -> Iterator[bytes]:
    place = 0
    while head := log.take(stream, 12):
        size = struct.unpack_from("<Q", head)[0] if len(head) == 12 else LARGEST + 1
        message = log.take(stream, size + 4) if size <= LARGEST else b""
        if len(message) < min(size, LARGEST) + 4:
            builder.problem(f"the file is cut off or broken after {place:,} bytes")
            return
        place += size + 16
        yield message[:-4]


def _of_event(message: bytes) -> Iterator[tuple[int, str, float]]:
    step, summary = 0, None
    for number, value in fields(message):
        if number == 2 and isinstance(value, int):
            step = value
        elif number == 5 and isinstance(value, bytes):
            summary = value
    for number, value in fields(summary or b""):
        if number == 1 and isinstance(value, bytes):
            tag, scalar = _of_value(value)
            if scalar is not None:
                yield step, tag, scalar


def _of_value(message: bytes) -> tuple[str, float | None]:
    tag, scalar = "", None
    for number, value in fields(message):
        if number == 1 and isinstance(value, bytes):
            tag = value.decode("utf-8", "replace")
        elif number == 2 and isinstance(value, bytes) and len(value) == 4:
            scalar = struct.unpack("<f", value)[0]
        elif number == 8 and isinstance(value, bytes):
            scalar = _of_tensor(value)
    return tag, scalar


def _of_tensor(message: bytes) -> float | None:
    """Return a tensor's value where it is one float or double (TensorFlow 2 writes such)."""
    kind, content = 0, b""
    for number, value in fields(message):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number in (4, 5, 6) and isinstance(value, bytes):
            content = value
    form = {1: "<f", 2: "<d"}.get(kind)
    if form is None or len(content) != struct.calcsize(form):
        return None
    return float(struct.unpack(form, content)[0])


READER = Reader(FORMAT, "TensorBoard events", score, read)
