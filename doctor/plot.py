"""Curves for a page: panels over one axis of steps, thinned to what a screen can show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from ftspec.doctor.chart import LOG_FROM
from ftspec.doctor.curves.words import figure

COLUMNS = 1200  # a wide screen's pixels: of each the lowest and the highest value are kept
TICKS = 5
ROWS = 100  # height of a panel in its own unit; the page stretches it
WIDTH = 1000

LARGEST, SMALLEST = 1e150, 1e-150  # beyond: as not finite; within: as 0

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Series:
    """One curve: `number` picks its colour, `dots` draws points instead of a line."""

    label: str
    points: tuple[tuple[float, float], ...]
    number: int = 0
    dots: bool = False
    total: int = 0

    @classmethod
    def of(cls, label: str, points: Points, number: int = 0, *, dots: bool = False) -> Series:
        """Thin a curve; steps that go back or are no numbers are left out."""
        known = [(x, _drawable(y)) for x, y in points if abs(x) < LARGEST]
        return cls(label, tuple(thinned(known, COLUMNS)), number, dots, len(points))

    @property
    def finite(self) -> list[tuple[float, float]]:
        """The points that can be drawn."""
        return [point for point in self.points if math.isfinite(point[1])]

    @property
    def lost(self) -> list[float]:
        """The steps whose value was logged and is not finite."""
        return [step for step, value in self.points if not math.isfinite(value)]

    @property
    def pieces(self) -> list[str]:
        """The line as lists of `step,value`, broken where a value is not finite."""
        found = []
        for finite, part in groupby(self.points, key=lambda point: math.isfinite(point[1])):
            if finite:
                found.append(" ".join(f"{_short(x)},{_short(y)}" for x, y in part))
        return found


@dataclass(frozen=True, slots=True)
class Band:
    """Stretches of steps that a finding speaks of; `anchor` is the finding's place on the page."""

    label: str
    severity: str
    anchor: str
    spans: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """Curves of one quantity on one scale."""

    title: str
    series: tuple[Series, ...]
    bands: tuple[Band, ...] = ()
    tall: bool = False

    @property
    def values(self) -> list[float]:
        """All values that are drawn."""
        return [value for series in self.series for _, value in series.finite]

    @property
    def positive(self) -> bool:
        """Say whether a logarithmic scale can show all of it."""
        return min(self.values) > 0

    @property
    def logarithmic(self) -> bool:
        """Say whether a logarithmic scale is the one to begin with."""
        return self.tall and self.positive and max(self.values) / min(self.values) > LOG_FROM

    @property
    def scale(self) -> tuple[float, float]:
        """The values at the bottom and the top."""
        return round_scale(min(self.values), max(self.values))

    @property
    def ticks(self) -> list[str]:
        """The labels of the scale, from the top down."""
        low, high = self.scale
        return [figure(high - (high - low) * place / (TICKS - 1) + 0.0) for place in range(TICKS)]

    def transform(self, first: float, last: float) -> str:
        """Return the matrix from steps and values to the panel's own unit."""
        low, high = self.scale
        across, up = WIDTH / (last - first), ROWS / (high - low)
        return f"matrix({across!r} 0 0 {-up!r} {-first * across!r} {high * up!r})"


@dataclass(frozen=True, slots=True)
class Plot:
    """Panels over one another, which share their steps."""

    name: str
    panels: tuple[Panel, ...]
    axis: str = "step"

    @property
    def ends(self) -> tuple[float, float]:
        """The first and last step."""
        steps = [x for panel in self.panels for series in panel.series for x, _ in series.points]
        first, last = min(steps), max(steps)
        return (first, last) if last > first else (first - 0.5, last + 0.5)

    @property
    def ticks(self) -> list[str]:
        """The labels of the axis, from the left."""
        first, last = self.ends
        return [f"{first + (last - first) * place / (TICKS - 1):,.0f}" for place in range(TICKS)]

    @property
    def across(self) -> str:
        """The matrix from steps to the panel's own unit, which leaves heights as they are."""
        first, last = self.ends
        across = WIDTH / (last - first)
        return f"matrix({across!r} 0 0 1 {-first * across!r} 0)"

    @property
    def bands(self) -> list[Band]:
        """The bands of all panels."""
        return [band for panel in self.panels for band in panel.bands]

    @property
    def thinned(self) -> int:
        """How many records the longest curve has, where not all of them are drawn; else 0."""
        longest = max((s for p in self.panels for s in p.series), key=lambda series: series.total)
        return longest.total if longest.total > len(longest.points) else 0


def plot(name: str, panels: Sequence[Panel], axis: str = "step") -> Plot | None:
    """Return a plot of the panels that have something to draw; None where none has."""
    kept = tuple(panel for panel in panels if panel.values)
    return Plot(name, kept, axis) if kept else None


def thinned(points: Points, columns: int) -> list[tuple[float, float]]:
    """Return the lowest and the highest of each column, in their order; no spike is lost.

    A value that is not finite is kept as one a column.
    """
    if len(points) <= 2 * columns:
        return list(points)
    first, last = min(x for x, _ in points), max(x for x, _ in points)
    unit = (last - first) / columns or 1.0
    kept: list[tuple[float, float]] = []
    for _, part in groupby(
        points, key=lambda point: min(columns - 1, int((point[0] - first) / unit))
    ):
        inside = list(part)
        numbers = [place for place, (_, y) in enumerate(inside) if math.isfinite(y)]
        lost = [place for place, (_, y) in enumerate(inside) if not math.isfinite(y)][:1]
        ends = (
            {min(numbers, key=lambda n: inside[n][1]), max(numbers, key=lambda n: inside[n][1])}
            if numbers
            else set()
        )
        kept += [inside[place] for place in sorted({*ends, *lost})]
    return kept


def round_scale(low: float, high: float) -> tuple[float, float]:
    """Return ends that are round numbers in four equal parts, around at least a tenth of a value.

    A range under that is shown as the flat line that it is.
    """
    least = 0.1 * max(abs(low), abs(high)) or 1.0
    if high - low < least:
        middle = (low + high) / 2
        low, high = middle - least / 2, middle + least / 2
    parts = TICKS - 1
    power = 10.0 ** math.floor(math.log10((high - low) / parts))
    for factor in (1, 2, 2.5, 5, 10, 20, 25):
        unit = factor * power
        bottom = math.floor(low / unit + 1e-9) * unit
        if bottom + parts * unit >= high * (1 - 1e-12):
            return bottom, bottom + parts * unit
    return low, high


def _drawable(value: float) -> float:
    if abs(value) > LARGEST:
        return math.nan
    return value if abs(value) > SMALLEST or math.isnan(value) else 0.0


def _short(value: float) -> str:
    return f"{value:.7g}"
