"""Read what Megatron prints: `iteration 5426/ 250000 | … | lm loss: 2.38E+00 | grad norm: 1.2`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ftspec.doctor.curves.readers.keys import Meaning
from ftspec.doctor.curves.readers.printed import Pairs, Printed, Row

FORMAT = "megatron"

_LINE = re.compile(
    r"\biteration +\d+/ *\d+ *\||validation loss at (?:iteration|the end)|"
    r"\bloss at iteration \d+ "
)
_KEYS = {
    "iteration": Meaning("step"),
    "lm loss value": Meaning("eval-loss"),
    "learning rate": Meaning("quantity", "learning_rate"),
    "elapsed time per iteration (ms)": Meaning("quantity", "step_seconds", factor=1e-3),
}
_pairs = Pairs(_KEYS)


def parse(line: str) -> Iterable[Row]:
    """Make a row of the fields between the bars."""
    yield from _pairs(line)


READER = Printed(
    FORMAT, "Megatron", _LINE, parse, words=("iteration",), keys=_KEYS, weight=1.5
).reader
