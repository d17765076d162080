"""Read torchtune's DiskLogger: `Step 1 | loss:2.085 lr:2e-05 tokens_per_second_per_gpu:57.8`."""

from __future__ import annotations

import re

from ftspec.doctor.curves.readers.printed import Pairs, Printed

FORMAT = "torchtune"

_LINE = re.compile(r"^Step \d+ \| (?:[\w/.]+:\S+ ?)+\s*$")

READER = Printed(
    FORMAT, "torchtune DiskLogger", _LINE, Pairs(), words=("Step ",), weight=1.5
).reader
