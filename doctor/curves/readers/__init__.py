"""Readers of logs: one file a format. `detect` asks each in turn whether a log is its own."""

from ftspec.doctor.curves.log import Log
from ftspec.doctor.curves.readers import events, trainer_state
from ftspec.doctor.curves.readers.reader import Reader
from ftspec.doctor.curves.series import Run

READERS: tuple[Reader, ...] = (events.READER, trainer_state.READER)


def detect(log: Log) -> Reader | None:
    """Return the reader whose format the log has, or None."""
    return next((reader for reader in READERS if reader.recognises(log)), None)


def read(log: Log) -> Run:
    """Read a log; one of no known format becomes a run without records, format `unknown`."""
    reader = detect(log)
    return reader.read(log) if reader else Run(log.name, "unknown")
