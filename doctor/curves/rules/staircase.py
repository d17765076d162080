"""Steps of a loss at the ends of epochs: healthy, and no plateau, spike or break."""

from __future__ import annotations

from collections.abc import Sequence

from ftspec.doctor.curves.columns import Record
from ftspec.doctor.curves.statistics import median, shift

RECORDS = 16  # an epoch
EPOCHS = range(2, 13)
ERRORS = 4.0  # standard errors that each step measures
STEEP = 3.0  # times what is lost over as many records within an epoch


def staircase(curve: Sequence[Record], losses: Sequence[float]) -> list[float] | None:
    """Return the level of each epoch where the loss steps down at every end of an epoch.

    Where epochs are not logged, equal parts are tried: the smallest number of them that fits.
    """
    known = _boundaries(curve)
    for edges in [known] if known else _equal_parts(len(losses)):
        if edges and _steps_down(losses, edges):
            whole = [0, *edges, len(losses)]
            parts = zip(whole, whole[1:], strict=False)
            return [median(losses[a:b]) for a, b in parts]
    return None


def _boundaries(curve: Sequence[Record]) -> list[int]:
    """Return the first record of each epoch but the first; of a cut-off last epoch too."""
    epochs = [record.epoch for record in curve]
    edges = []
    for place in range(1, len(epochs)):
        before, now = epochs[place - 1], epochs[place]
        # at epoch 1.0 exactly the first epoch is just over: its record belongs to it
        if before is not None and now is not None and -(-now // 1) > max(-(-before // 1), 1):
            edges.append(place)
    short = [edge for edge in edges if len(curve) - edge < RECORDS // 2]
    return [edge for edge in edges if edge not in short]


def _equal_parts(size: int) -> list[list[int]]:
    return [
        [round(part * size / count) for part in range(1, count)]
        for count in EPOCHS
        if size >= count * RECORDS
    ]


def _steps_down(losses: Sequence[float], edges: Sequence[int]) -> bool:
    whole = [0, *edges, len(losses)]
    shortest = min(b - a for a, b in zip(whole, whole[1:], strict=False))
    width = min(10, shortest // 3)
    if width < 3:
        return False
    for begin, edge, end in zip(whole, edges, whole[2:], strict=False):
        step, error = shift(losses[edge - width : edge], losses[edge : edge + width])
        middle = (edge + end) // 2
        within, _ = shift(losses[middle - width : middle], losses[middle : middle + width])
        earlier = (begin + edge) // 2
        if begin > 0:
            before, _ = shift(losses[earlier - width : earlier], losses[earlier : earlier + width])
            within = min(within, before)
        if step > -ERRORS * error or step > STEEP * min(within, 0.0):
            return False
    return True
