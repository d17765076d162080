"""What a run of reinforcement learning logged, without its gaps."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ftspec.doctor.curves.series import Run


@dataclass(frozen=True, slots=True)
class Logged:
    """One quantity: its finite values in order, and the place of each among the judged records."""

    values: list[float]
    places: list[int]

    def __len__(self) -> int:
        return len(self.values)


def logged(run: Run, name: str) -> Logged:
    """Return one quantity of a run, canonical names as `Run.column` has them."""
    kept = [(i, v) for i, v in enumerate(run.column(name)) if v is not None and math.isfinite(v)]
    return Logged([value for _, value in kept], [place for place, _ in kept])
