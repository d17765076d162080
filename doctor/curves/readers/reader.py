"""What a reader is: a format's name, how well a log fits it, how to read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ftspec.doctor.curves.log import Log
from ftspec.doctor.curves.series import Run

SURE = 1e6  # of a format that says its name in its first bytes


@dataclass(frozen=True, slots=True)
class Reader:
    """`score` looks at a log's windows: 0 is not its own, of several the greatest reads.

    A score is about the number of records seen, more for a format that cannot be mistaken.
    `read` never raises on what it finds.
    """

    format: str
    title: str
    score: Callable[[Log], float]
    read: Callable[[Log], Run]
