"""Logs with what they came from: a spec, or another trainer's config that lies beside them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ftspec.doctor.curves.find import SPEC, find_logs, spec_beside
from ftspec.doctor.curves.log import Log
from ftspec.doctor.diagnose import STANDARD_INPUT, Diagnosis, SpecText, diagnose_log
from ftspec.doctor.patches.config import config_beside


def examine(paths: Sequence[Path], given: SpecText | None = None) -> Diagnosis:
    """Diagnose the logs that the paths mean; `-` is standard input.

    `given` is the spec or config that all of them came from; where it is None, the one beside
    each log is taken. Raises UnreadableLogError.
    """
    runs = []
    for path in paths:
        if path == STANDARD_INPUT:
            log = Log.of_stream("standard input", sys.stdin.buffer)
            runs.append(diagnose_log(log, given))
            continue
        for file in find_logs(path):
            runs.append(diagnose_log(Log.of_path(file), given or beside(file)))
    return Diagnosis(tuple(runs))


def beside(log: Path) -> SpecText | None:
    """Return the spec of the project or folder that a log lies in, else the one config there."""
    own = (log if log.is_dir() else log.parent) / SPEC
    path = spec_beside(log) or (own if own.is_file() else None)
    if path is None:
        return config_beside(log)
    try:
        return SpecText.of(str(path), path.read_bytes().decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError):
        return None
