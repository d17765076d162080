"""Read what mlx-lm prints: `Iter 25: Train loss 1.593, Learning Rate 7.000e-05, It/sec 0.999`."""

from __future__ import annotations

import re

from ftspec.doctor.curves.readers.keys import Meaning
from ftspec.doctor.curves.readers.printed import NUMBER, Pairs, Printed

FORMAT = "mlx_lm"

_LINE = re.compile(rf"\bIter \d+: (?:Train|Val) loss (?:{NUMBER})|^Test loss (?:{NUMBER})")
_KEYS = {"Val took": Meaning("other")}

READER = Printed(FORMAT, "mlx-lm", _LINE, Pairs(_KEYS), keys=_KEYS, weight=1.5).reader
