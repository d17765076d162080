"""Read PyTorch's word language model: `| epoch 1 | 200/ 2983 batches | lr 20.0 | loss 6.11 |`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ftspec.doctor.curves.readers.keys import Meaning
from ftspec.doctor.curves.readers.printed import Pairs, Printed, Row

FORMAT = "word_lm"

_PLACE = re.compile(r"\| +epoch +(\d+) +\| +(\d+)/ *(\d+) batches")
_LINE = re.compile(_PLACE.pattern + r"|end of epoch +\d+ +\|.*valid loss|\| +test loss ")
_KEYS = {
    "valid ppl": Meaning("eval-metric", metric="perplexity"),
    "end of epoch": Meaning("epoch"),
    "test loss": Meaning("eval-loss", "test"),
}
_pairs = Pairs(_KEYS)


def parse(line: str) -> Iterable[Row]:
    """Make a row: the step is counted over the epochs before."""
    place = _PLACE.search(line)
    for row in _pairs(line[place.end() :] if place else line):
        if place is None:
            yield {key: value for key, value in row.items() if not key.startswith("time")}
            continue
        epoch, batch, batches = map(int, place.groups())
        step = float((epoch - 1) * batches + batch)
        yield {**row, "step": step, "epoch": epoch - 1 + batch / max(batches, 1)}


READER = Printed(FORMAT, "PyTorch word language model", _LINE, parse, keys=_KEYS, weight=1.5).reader
