"""Follow a run's events.jsonl while it is being written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Event = Mapping[str, Any]


class Follower:
    """Reads the whole lines that have been added to a file since it was last asked."""

    def __init__(self, path: Path, offset: int = 0, *, from_end: bool = False) -> None:
        self.path = path
        self._offset = path.stat().st_size if from_end and path.exists() else offset

    def new_events(self) -> Iterator[Event]:
        """Yield the events of lines finished since the last call; half lines are left for later."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                added = file.read()
        except FileNotFoundError:
            return
        whole, newline, _ = added.rpartition(b"\n")
        self._offset += len(whole) + len(newline)
        for line in whole.splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue  # a line that a crash tore; the doctor reports it
            if isinstance(event, dict) and "event" in event:
                yield event
