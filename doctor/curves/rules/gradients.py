"""Gradient norms as the rules about them see them: finite, after warm-up, with their places."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ftspec.doctor.curves.series import Run

FIRST = 20  # 1/20 of the records is left out at the start: spikes there are ordinary


@dataclass(frozen=True, slots=True)
class Gradients:
    """Finite norms in order, and the place of each among the judged records."""

    norms: Sequence[float]
    places: Sequence[int]


def gradients(run: Run) -> Gradients:
    """Return the finite gradient norms of a run, the first twentieth left out."""
    column = run.column("grad_norm")
    kept = [
        (place, norm)
        for place, norm in enumerate(column)
        if norm is not None and math.isfinite(norm) and place >= len(column) // FIRST
    ]
    return Gradients([norm for _, norm in kept], [place for place, _ in kept])
