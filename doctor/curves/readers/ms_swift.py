"""Read ms-swift's logging.jsonl: `{"loss": 0.667, …, "global_step/max_steps": "601/2161"}`."""

from __future__ import annotations

from ftspec.doctor.curves.log import Log
from ftspec.doctor.curves.readers.jsonl import read as read_rows
from ftspec.doctor.curves.readers.jsonl import scored
from ftspec.doctor.curves.readers.reader import Reader
from ftspec.doctor.curves.series import Run

FORMAT = "ms_swift"


def read(log: Log) -> Run:
    """Read the rows."""
    return read_rows(log, FORMAT)


READER = Reader(
    FORMAT,
    "ms-swift logging.jsonl",
    scored(2.5, lambda row: "global_step/max_steps" in row),
    read,
)
