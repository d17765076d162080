"""Intervals of differences between two noisy curves, by resampling blocks of them.

Neighbouring records are not independent, so blocks of neighbours are drawn, not single ones.
Source: Kunsch, The jackknife and the bootstrap for general stationary observations, Annals of
Statistics 17 (1989); blocks of n^(1/3), the order that Hall, Horowitz and Jing give for variances:
On blocking rules for the bootstrap with dependent data, Biometrika 82 (1995).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from ftspec.doctor.curves.statistics import (
    SIGMA_OF_MAD,
    autocorrelation,
    course,
    mad,
    noise_scale,
)

RESAMPLES = 2000
LEVEL = 0.95
SEED = 0  # the same logs give the same answer
WINDOW = 3
ENOUGH = 24  # values: of fewer, every second one shows the course's own bend as noise
MOST = 400  # values to draw from: of more, neighbours are merged by their means
# Student's t at 97.5 %, 1 to 30 degrees of freedom; the normal value beyond.
STUDENT = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
NORMAL = 1.96


@dataclass(frozen=True, slots=True)
class Interval:
    """The ends of a 95 % interval, in the loss's own unit."""

    low: float
    high: float


def of_lowest(first: Sequence[float], second: Sequence[float]) -> Interval:
    """Return the interval of the second curve's lowest value less the first's.

    Each curve is its course and noise about it. The course of a few values follows their noise, so
    what is left is scaled up to the noise between neighbours before it is drawn from again.
    """
    parts = [_course_and_noise(values) for values in (first, second)]

    def draw(source: random.Random) -> float:
        lowest = [
            min(level + jump for level, jump in zip(levels, _blocks(noise, source), strict=True))
            for levels, noise in parts
        ]
        return lowest[1] - lowest[0]

    seen = _percentiles(draw)
    # The lowest of a resample has its luck twice; both have that, and what is left is a shift.
    shift = (min(second) - min(first)) - (seen.low + seen.high) / 2
    return Interval(seen.low + shift, seen.high + shift)


def mean_of_pairs(differences: Sequence[float], centre: float) -> Interval:
    """Return an interval about `centre` as wide as that of the mean of paired differences."""
    differences = _merged(differences)
    mean = fmean(differences)
    seen = _percentiles(lambda source: fmean(_blocks(differences, source)))
    half = max(seen.high - mean, mean - seen.low, _student(differences))
    return Interval(centre - half, centre + half)


def of_ends(first: Sequence[float], second: Sequence[float]) -> Interval:
    """Return the interval of the second sample's mean less the first's; they are not paired."""
    first, second = _merged(first), _merged(second)
    middle = fmean(second) - fmean(first)
    seen = _percentiles(
        lambda source: fmean(_blocks(second, source)) - fmean(_blocks(first, source))
    )
    apart = (_student(first) ** 2 + _student(second) ** 2) ** 0.5
    half = max(seen.high - middle, middle - seen.low, apart)
    return Interval(middle - half, middle + half)


def _merged(values: Sequence[float]) -> Sequence[float]:
    group = -(-len(values) // MOST)
    parts = (values[at : at + group] for at in range(0, len(values), group))
    return [fmean(part) for part in parts] if group > 1 else values


def _student(values: Sequence[float]) -> float:
    """Return half of Student's interval of a mean: of few values blocks say too little."""
    freedom = len(values) - 1
    if freedom < 1:
        return float("inf")
    quantile = STUDENT[freedom - 1] if freedom <= len(STUDENT) else NORMAL
    return float(quantile * stdev(values) / _independent(values) ** 0.5)


def _independent(values: Sequence[float]) -> float:
    """Return how many independent values the series is worth, by the correlation of neighbours.

    n (1 - r) / (1 + r) for noise that fades by r a place; r is raised by (1 + 4 r) / n, what its
    estimate is too low by. Source: Kendall, Note on bias in the estimation of autocorrelation,
    Biometrika 41 (1954).
    """
    size, middle = len(values), fmean(values)
    seen = autocorrelation([value - middle for value in values], 1)
    fades = min(0.95, max(0.0, seen + (1 + 4 * seen) / size))
    return max(1.0, size * (1 - fades) / (1 + fades)) if seen > 0 else float(size)


def _course_and_noise(values: Sequence[float]) -> tuple[list[float], list[float]]:
    levels = course(values, WINDOW)
    left = [value - level for value, level in zip(values, levels, strict=True)]
    seen, noise = SIGMA_OF_MAD * mad(left), noise_scale(values)
    if len(values) >= ENOUGH:
        # Noise that fades slowly shows little between neighbours, more between every second value.
        noise = max(noise, noise_scale(values[::2]), noise_scale(values[1::2]))
    middle = fmean(left)
    return levels, [(value - middle) * (noise / seen if seen > 0 else 1.0) for value in left]


def _blocks(values: Sequence[float], source: random.Random) -> list[float]:
    """Return as many values as there are, drawn in blocks of neighbours."""
    size = max(1, round(len(values) ** (1 / 3)))
    drawn: list[float] = []
    while len(drawn) < len(values):
        start = source.randrange(len(values) - size + 1)
        drawn += values[start : start + size]
    return drawn[: len(values)]


def _percentiles(draw: Callable[[random.Random], float]) -> Interval:
    source = random.Random(SEED)
    found = sorted(draw(source) for _ in range(RESAMPLES))
    cut = round((1 - LEVEL) / 2 * RESAMPLES)
    return Interval(found[cut], found[-cut - 1])
