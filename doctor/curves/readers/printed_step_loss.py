"""Read printed text of no known trainer: lines with a loss and, best, a step."""

from __future__ import annotations

from ftspec.doctor.curves.log import Log
from ftspec.doctor.curves.readers.hf_stdout import read_text
from ftspec.doctor.curves.readers.printed import LINE, Pairs, Printed
from ftspec.doctor.curves.readers.reader import Reader
from ftspec.doctor.curves.series import Run

FORMAT = "text"
TITLE = "printed steps and losses"

_PRINTED = Printed(FORMAT, TITLE, LINE, Pairs(), words=("loss", "Loss", "LOSS"), weight=0.4)


def read(log: Log) -> Run:
    """Read the lines, and dicts among them."""
    return read_text(log, FORMAT, lines=True)


READER = Reader(FORMAT, TITLE, _PRINTED.score, read)
