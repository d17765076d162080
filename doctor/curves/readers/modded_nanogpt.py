"""Read modded-nanogpt and its kin: `step:250/6200 val_loss:4.55 train_time:81000ms`."""

from __future__ import annotations

import re

from ftspec.doctor.curves.readers.keys import Meaning
from ftspec.doctor.curves.readers.printed import NUMBER, Pairs, Printed

FORMAT = "modded_nanogpt"

_LINE = re.compile(rf"\bstep:\d+/\d+ (?:train_|val_)?loss:(?:{NUMBER})")
_KEYS = {"step_avg": Meaning("quantity", "step_seconds", factor=1e-3)}

READER = Printed(FORMAT, "modded-nanogpt", _LINE, Pairs(_KEYS), keys=_KEYS, weight=1.5).reader
