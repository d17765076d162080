"""What the steps of a log are: a counter that never moves is none, one of the epoch counts on."""

from __future__ import annotations

import math
from array import array
from itertools import pairwise

from ftspec.doctor.curves.columns import NOT_LOGGED


def settled(columns: dict[str, array[float]], size: int) -> array[float] | None:
    """Clean the columns of steps and epochs; return the steps where they are counted anew."""
    for name in ("step", "epoch"):
        column = columns.get(name)
        if column and not all(map(math.isfinite, column)):
            clean = (value if math.isfinite(value) else NOT_LOGGED for value in column)
            columns[name] = array("d", clean)
    steps, epochs = columns.get("step"), columns.get("epoch")
    if steps is None or size < 3:
        return None
    if all(step == steps[0] for step in steps):
        del columns["step"]
    elif epochs is not None and _begins_anew(steps, epochs):
        columns["step"] = _counted_on(steps)
        return columns["step"]
    return None


def numbered(epochs: array[float] | None, size: int, every: int) -> array[float]:
    """Return steps by the records' places, counted anew where the epoch goes back."""
    steps, place, last = array("d"), 0, -math.inf
    for epoch in epochs or array("d", [0.0]) * size:
        place = 1 if epoch < last else place + 1
        last = epoch
        steps.append(float(place * every))
    return steps


def _begins_anew(steps: array[float], epochs: array[float]) -> bool:
    """Say whether the steps go back, and only where an epoch begins."""
    back = [place for place in range(1, len(steps)) if steps[place] < steps[place - 1]]
    return bool(back) and all(epochs[place] > epochs[place - 1] for place in back)


def _counted_on(steps: array[float]) -> array[float]:
    counted, before = array("d", steps[:1]), 0.0
    for last, now in pairwise(steps):
        before += last if now < last else 0.0
        counted.append(before + now)
    return counted
