"""Read LLaMA-Factory's trainer_log.jsonl: `{"current_steps": 10, "total_steps": 6566, …}`.

Old versions write every key into every row, null where it says nothing. A predict stage writes
the same file without a loss.
"""

from __future__ import annotations

from ftspec.doctor.curves.log import Log
from ftspec.doctor.curves.readers.jsonl import read as read_rows
from ftspec.doctor.curves.readers.jsonl import scored
from ftspec.doctor.curves.readers.keys import Meaning
from ftspec.doctor.curves.readers.reader import Reader
from ftspec.doctor.curves.series import Run

FORMAT = "llamafactory_trainer_log"

_KEYS = {"accuracy": Meaning("quantity", "reward_accuracy")}


def read(log: Log) -> Run:
    """Read the rows."""
    return read_rows(log, FORMAT, _KEYS)


READER = Reader(
    FORMAT,
    "LLaMA-Factory trainer_log.jsonl",
    scored(2.5, lambda row: "current_steps" in row and "total_steps" in row),
    read,
)
