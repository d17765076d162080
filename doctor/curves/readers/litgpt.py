"""Read what litgpt prints: old `iter 1151 step 144: loss 1.70`, new `Epoch 1 | iter 46 step 1`.

Each iteration prints the loss of its own micro-batch, so the iteration is the step here.
"""

from __future__ import annotations

import re

from ftspec.doctor.curves.readers.keys import Meaning
from ftspec.doctor.curves.readers.printed import Pairs, Printed

FORMAT = "litgpt"

_LINE = re.compile(
    r"\biter \d+:? +(?:\| )?step \d+:?(?: \|)? +loss(?: train)?:? *[\dn]|^iter \d+: val loss"
)
_KEYS = {
    "iter": Meaning("step", rank=-1),
    "loss train": Meaning("loss"),
    "val": Meaning("eval-loss"),
    "iter time": Meaning("quantity", "step_seconds", factor=1e-3),
}

READER = Printed(FORMAT, "litgpt", _LINE, Pairs(_KEYS), keys=_KEYS, weight=1.5).reader
