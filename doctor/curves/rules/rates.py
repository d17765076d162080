"""The learning rates of a run as the rules about them see them, with their places."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ftspec.doctor.curves.series import Run


@dataclass(frozen=True, slots=True)
class Rates:
    """Finite learning rates in order, and the place of each among the judged records."""

    values: Sequence[float]
    places: Sequence[int]

    @property
    def peak(self) -> float:
        """The greatest rate; 0.0 of none."""
        return max(self.values, default=0.0)

    @property
    def peaks_at(self) -> int:
        """The index of the first rate that is the greatest within 0.1 %."""
        return next((i for i, rate in enumerate(self.values) if rate >= 0.999 * self.peak), 0)


def rates(run: Run) -> Rates:
    """Return the finite learning rates of the judged records."""
    kept = [
        (place, rate)
        for place, rate in enumerate(run.column("learning_rate"))
        if rate is not None and math.isfinite(rate) and rate >= 0
    ]
    return Rates([rate for _, rate in kept], [place for place, _ in kept])
