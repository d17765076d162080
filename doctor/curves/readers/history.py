"""Read a JSON object of lists, as Keras's `history.history` is saved: `{"loss": [2.1, 1.9], …}`."""

from __future__ import annotations

import json
import re
from itertools import zip_longest
from typing import Any

from ftspec.doctor.curves.log import Log
from ftspec.doctor.curves.readers.builder import Builder
from ftspec.doctor.curves.readers.jsonl import decode
from ftspec.doctor.curves.readers.reader import Reader
from ftspec.doctor.curves.series import Run

FORMAT = "json_lists"
LARGEST = 64 * 1024 * 1024

_LISTS = re.compile(r"\s*\{.*?\"(?:\w+[_/ ])?loss\"\s*:\s*\[\s*[-\dNI\"]", re.DOTALL)


def score(log: Log) -> float:
    """Count the numbers in the head of an object with a list of losses."""
    head = log.head.removeprefix("\ufeff")
    return 0.5 * head.count(",") if _LISTS.match(head) else 0.0


def read(log: Log) -> Run:
    """Read the lists side by side; a shorter list ends earlier."""
    builder = Builder()
    lists = _lists(log, builder)
    for place, values in enumerate(zip_longest(*lists.values()), 1):
        row = {key: value for key, value in zip(lists, values, strict=True) if value is not None}
        builder.row({"epoch": place, **row})
    return builder.run(log.name, FORMAT)


def _lists(log: Log, builder: Builder) -> dict[str, list[Any]]:
    with log.open() as stream:
        text = log.take(stream, LARGEST).decode(log.encoding, errors="replace")
    try:
        found = decode(text)
    except (ValueError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
        builder.problem(f"broken JSON ({why})")
        return {}
    items = found.items() if isinstance(found, dict) else ()
    return {key: value for key, value in items if isinstance(value, list)}


READER = Reader(FORMAT, "JSON lists", score, read)
