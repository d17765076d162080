"""What a reader is: a format's name, how to know it, how to read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ftspec.doctor.curves.log import Log
from ftspec.doctor.curves.series import Run


@dataclass(frozen=True, slots=True)
class Reader:
    """`recognises` looks at a log's name and head only; `read` never raises on what it finds."""

    format: str
    title: str
    recognises: Callable[[Log], bool]
    read: Callable[[Log], Run]
