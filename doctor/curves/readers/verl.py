"""Read what verl prints: `step:3 - actor/pg_loss:np.float64(-0.0038) - actor/grad_norm:0.48`."""

from __future__ import annotations

import re

from ftspec.doctor.curves.readers.printed import Pairs, Printed

FORMAT = "verl"

_LINE = re.compile(r"\bstep:\d+ - [\w/.@\-]+:")

READER = Printed(FORMAT, "verl", _LINE, Pairs(), words=("step:",), weight=1.5).reader
