"""Read what mmengine and XTuner print: `Epoch(train) [1][200/735]  lr: 1.98e-04  loss: 2.75`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ftspec.doctor.curves.readers.printed import Pairs, Printed, Row

FORMAT = "mmengine"

_PLACE = re.compile(
    r"(?:Epoch|Iter)\((train|val|test)\) *(?:\[ *(\d+)\])?\[ *(\d+)/ *(\d+)\]|"
    r"Epoch \[(\d+)\]\[(\d+)/(\d+)\]"
)
_pairs = Pairs()


def parse(line: str) -> Iterable[Row]:
    """Make a row: the step is counted over the epochs before."""
    place = _PLACE.search(line)
    for row in _pairs(line[place.end() :] if place else line):
        found = dict(row)
        if place is None:
            yield found
            continue
        kind = place.group(1) or "train"
        epoch = place.group(2) or place.group(5)
        at, total = place.group(3) or place.group(6), place.group(4) or place.group(7)
        if kind != "train":
            yield {f"eval_{key}" if key != "lr" else key: value for key, value in found.items()}
            continue
        before = int(total) * (int(epoch) - 1) if epoch else 0
        found["step"] = float(before + int(at))
        if epoch:
            found["epoch"] = int(epoch) - 1 + int(at) / max(int(total), 1)
        yield found


READER = Printed(
    FORMAT, "mmengine (XTuner)", _PLACE, parse, words=("Epoch", "Iter("), weight=1.5
).reader
