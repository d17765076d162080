"""Robust statistics of short, noisy series, in plain Python."""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Collection, Sequence

SIGMA_OF_MAD = 1.4826  # 1 / Phi^-1(3/4): MAD of a normal sample -> its standard deviation


def median(values: Collection[float]) -> float:
    """Return the median; 0.0 of nothing."""
    return statistics.median(values) if values else 0.0


def mad(values: Collection[float]) -> float:
    """Return the median absolute deviation from the median.

    Source: Hampel, The influence curve and its role in robust estimation, JASA 69 (1974).
    """
    centre = median(values)
    return median([abs(value - centre) for value in values])


def spread(values: Sequence[float]) -> float:
    """Return the standard deviation by the 10th and 90th percentile.

    For a normal sample they are 2 x 1.2816 sigma apart. A tenth of outliers on either side does
    not move it, and unlike the MAD it is not 0 where half of the values are alike.
    """
    ordered = sorted(values)
    last = len(ordered) - 1
    return (ordered[round(0.9 * last)] - ordered[round(0.1 * last)]) / 2.563 if ordered else 0.0


def noise_scale(values: Sequence[float]) -> float:
    """Return the standard deviation of the noise around a smooth course.

    Each value against the mean of its neighbours has 1.5 times the noise's variance; a course
    that is straight over three records cancels, and a few jumps (spikes, epoch steps) do not
    move the median. Source: Gasser, Sroka and Jennen-Steinmetz, Residual variance and residual
    pattern in nonlinear regression, Biometrika 73 (1986), made robust.
    """
    bends = [abs((a + c) / 2 - b) for a, b, c in zip(values, values[1:], values[2:], strict=False)]
    return float(SIGMA_OF_MAD * median(bends) / 1.5**0.5)


def rolling_median(values: Sequence[float], window: int) -> list[float]:
    """Return the centred running median; near the ends the window is what there is of it."""
    half = window // 2
    inside = sorted(values[:half])
    medians = []
    for place in range(len(values)):
        if place + half < len(values):
            insort(inside, values[place + half])
        if place - half - 1 >= 0:
            del inside[bisect_left(inside, values[place - half - 1])]
        middle = len(inside) // 2
        even = len(inside) % 2 == 0
        medians.append((inside[middle - 1] + inside[middle]) / 2 if even else inside[middle])
    return medians


class Recent:
    """The last few values, and their median at no more cost than a step in a sorted list."""

    def __init__(self, values: Sequence[float], size: int) -> None:
        self.size = size
        self.values = deque(values[-size:], maxlen=size)
        self._ordered = sorted(self.values)

    def add(self, value: float) -> None:
        """Take a value in; the oldest leaves where there are more than `size`."""
        if len(self.values) == self.size:
            del self._ordered[bisect_left(self._ordered, self.values[0])]
        self.values.append(value)
        insort(self._ordered, value)

    @property
    def median(self) -> float:
        """The median of the values held; 0.0 of none."""
        ordered, middle = self._ordered, len(self._ordered) // 2
        if not ordered:
            return 0.0
        return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def course(values: Sequence[float], window: int) -> list[float]:
    """Return the running median, hanned: each value with a quarter of either neighbour.

    The running median alone follows a series that alternates (its odd windows hold one more of
    the value in the middle). Source: Tukey, Exploratory Data Analysis, 1977, chapter 7.
    """
    rough = rolling_median(values, window)
    padded = [*rough[:1], *rough, *rough[-1:]]
    return [a / 4 + b / 2 + c / 4 for a, b, c in zip(padded, padded[1:], padded[2:], strict=False)]


def block_medians(values: Sequence[float], blocks: int) -> list[float]:
    """Return the medians of `blocks` neighbouring parts: a long series made short."""
    count = min(blocks, len(values))
    edges = [round(i * len(values) / count) for i in range(count + 1)] if count else [0]
    return [median(values[a:b]) for a, b in zip(edges, edges[1:], strict=False)]


def theil_sen(values: Sequence[float]) -> float:
    """Return the median slope over all pairs, per place in the series.

    Source: Sen, Estimates of the regression coefficient based on Kendall's tau, JASA 63 (1968).
    Quadratic in length: give it block medians of a long series.
    """
    count = len(values)
    return median(
        [(values[j] - values[i]) / (j - i) for i in range(count) for j in range(i + 1, count)]
    )


def autocorrelation(values: Sequence[float], lag: int) -> float:
    """Return the correlation of a series of mean zero with itself, `lag` places on."""
    power = sum(value * value for value in values)
    if power == 0:
        return 0.0
    return sum(a * b for a, b in zip(values, values[lag:], strict=False)) / power


def shift(before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    """Return how far the median moved from one sample to another, and its standard error.

    The variance of a median is pi / 2 times that of the mean of a normal sample; the standard
    deviation is taken from each sample's MAD.
    """
    variance = sum(
        (math.pi / 2) * (SIGMA_OF_MAD * mad(part)) ** 2 / len(part)
        for part in (before, after)
        if part
    )
    return median(after) - median(before), variance**0.5
