"""Read llm.c's main.log (`s:10 trl:10.98 lr:0.0006 norm:1.23`) and what it prints."""

from __future__ import annotations

import re

from ftspec.doctor.curves.readers.keys import Meaning
from ftspec.doctor.curves.readers.printed import NUMBER, Pairs, Printed

FORMAT = "llm.c"

_LINE = re.compile(
    rf"^s:\d+ (?:trl|tel|eval):|^step +\d+/\d+ \| (?:train )?loss +(?:{NUMBER})|"
    rf"^val loss +(?:{NUMBER})"
)
_KEYS = {
    "trl": Meaning("loss"),
    "tel": Meaning("eval-loss"),
    "s": Meaning("step"),
    "norm": Meaning("quantity", "grad_norm"),
    "eval": Meaning("eval-metric", metric="hellaswag"),
}

READER = Printed(
    FORMAT,
    "llm.c",
    _LINE,
    Pairs(_KEYS),
    words=("trl:", "tel:", "eval:", "loss"),
    keys=_KEYS,
    weight=1.6,
).reader
