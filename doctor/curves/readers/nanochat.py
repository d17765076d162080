"""Read what nanochat prints: `step 00010/21400 (0.05%) | loss: 9.81 | lrm: 1.00 | dt: 400ms`."""

from __future__ import annotations

import re

from ftspec.doctor.curves.readers.keys import Meaning
from ftspec.doctor.curves.readers.printed import Pairs, Printed

FORMAT = "nanochat"

_LINE = re.compile(
    r"\bstep:? +\d+/\d+ \([\d.]+%\) \| loss: *[\dn]|"
    r"\bStep \d+ \| (?:Validation|val) (?:bpb|loss): *[\dn]"
)
_KEYS = {
    "Validation bpb": Meaning("eval-loss"),
    "lrm": Meaning("other"),
    "dt": Meaning("quantity", "step_seconds", factor=1e-3),
}

READER = Printed(
    FORMAT, "nanochat", _LINE, Pairs(_KEYS), words=("loss", "alidation"), keys=_KEYS, weight=1.1
).reader
