"""Read what nanoGPT and its many children print: `iter 10: loss 6.15`, `step 250: … val loss`.

Where only the estimates are printed (`step 0: train loss 4.2, val loss 4.3`), their train loss is
the record; where the iterations are printed as well, it belongs to the evaluation.
"""

from __future__ import annotations

import re
from dataclasses import replace

from ftspec.doctor.curves.log import Log
from ftspec.doctor.curves.readers.keys import Meaning
from ftspec.doctor.curves.readers.printed import NUMBER, Pairs, Printed
from ftspec.doctor.curves.readers.reader import Reader
from ftspec.doctor.curves.series import Run

FORMAT = "nanogpt"

_ITERATION = re.compile(rf"\biter(?:ation)? \d+(?:/\d+)?:? +(?:train )?loss:? *(?:{NUMBER})")
_LINE = re.compile(rf"\bstep \d+(?:/\d+)?: +train loss *(?:{NUMBER})|{_ITERATION.pattern}")
_KEYS = {"time": Meaning("quantity", "step_seconds", factor=1e-3)}
_PRINTED = Printed(FORMAT, "nanoGPT", _LINE, Pairs(_KEYS), keys=_KEYS, weight=1.2)
_ESTIMATE = Meaning("eval-metric", metric="train_loss")


def read(log: Log) -> Run:
    """Read the iterations; an estimate's train loss is no second record of its step."""
    if any(_ITERATION.search(window) for window in log.windows):
        keys = {**_KEYS, "train loss": _ESTIMATE}
        return replace(_PRINTED, parse=Pairs(keys), keys=keys).read(log)
    return _PRINTED.read(log)


READER = Reader(FORMAT, _PRINTED.title, _PRINTED.score, read)
