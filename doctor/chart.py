"""Draw a loss curve in a few lines of text: block characters, or plain ASCII."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.statistics import median
from ftspec.doctor.curves.words import figure
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.render import COLOURS, Paint, no_paint

HEIGHT = 6
HELD_OUT_HEIGHT = 3
BLOCKS = " ▁▂▃▄▅▆▇█"
ASCII = " .:#"
LOG_FROM = 50.0  # highest to lowest: from there on the scale is logarithmic
LARGEST = 1e300  # a loss above is drawn as not finite
MARGIN = 9
WIDEST_MARGIN = 20  # the names of findings stand in it


@dataclass(frozen=True, slots=True)
class Columns:
    """The curve cut into columns: a value each (None: not finite), and the last step in each."""

    values: tuple[float | None, ...]
    ends: tuple[float, ...]

    def of_step(self, step: float) -> int:
        """Return the column that a step falls into."""
        return next((i for i, end in enumerate(self.ends) if step <= end), len(self.ends) - 1)


@dataclass(frozen=True, slots=True)
class Scale:
    """The values at the bottom and the top of a drawing of so many rows."""

    low: float
    high: float
    rows: int

    @classmethod
    def of(cls, known: Sequence[float], rows: int) -> Scale:
        """Return a scale of at least a tenth of the values, so that flat looks flat."""
        low, high = min(known), max(known)
        least = 0.1 * max(abs(low), abs(high))
        if high - low < least:
            middle = (low + high) / 2
            low, high = middle - least / 2, middle + least / 2
        return cls(low, high, rows)

    @property
    def logarithmic(self) -> bool:
        """Say whether equal heights are equal ratios."""
        return self.low > 0 and self.high / self.low > LOG_FROM

    def height(self, value: float | None) -> float | None:
        """Return the height in rows; a sixth of a row is the least, so that the lowest is seen."""
        if value is None:
            return None
        low, high = self.low, self.high
        if self.logarithmic:
            value, low, high = math.log(value), math.log(low), math.log(high)
        share = (value - low) / (high - low) if high > low else 0.5
        return 1 / 6 + share * (self.rows - 1 / 6)


def draw(
    run: Run,
    findings: Sequence[Finding],
    width: int = 72,
    unicode: bool = True,
    paint: Paint = no_paint,
) -> list[str]:
    """Return the curve as lines: the loss, its steps, held-out losses, the flagged spans."""
    names = [finding.name for finding in findings if spans_of(finding)]
    margin = min(max(map(len, [*names, " " * MARGIN])), WIDEST_MARGIN, width // 4)
    columns = columns_of(run, width - margin - 2)
    known = [value for value in columns.values if value is not None]
    if len(known) < 3:
        return []
    scale, ramp = Scale.of(known, HEIGHT), BLOCKS if unicode else ASCII
    heights = [scale.height(value) for value in columns.values]
    lines = _rows(heights, scale, "loss", margin, ramp)
    first, last = _edges(run)
    gap = max(1, len(columns.values) - len(first) - len(last))
    lines.append(f"{'':{margin}} +{'-' * len(columns.values)}")
    logarithmic = "log scale" if scale.logarithmic else ""
    lines.append(f"{logarithmic:>{margin}}  {first}{' ' * gap}{last}")
    lines += _held_out(run, columns, margin, ramp)
    return lines + _marks(findings, columns, margin, paint)


def columns_of(run: Run, width: int) -> Columns:
    """Cut the judged records into at most `width` columns of about as many records each.

    A column shows its median, or its highest record where that stands far out: a spike of one
    record must not vanish.
    """
    losses, steps = run.judged.values("loss"), run.judged.values("step")
    logged = [place for place, loss in enumerate(losses) if loss is not None]
    count = min(width, len(logged))
    values: list[float | None] = []
    ends: list[float] = []
    for column in range(count):
        start = column * len(logged) // count
        stop = (column + 1) * len(logged) // count
        part = [loss for place in logged[start:stop] if (loss := losses[place]) is not None]
        finite = [loss for loss in part if abs(loss) < LARGEST]
        middle, top = median(finite), max(finite, default=0.0)
        shown = top if top > 1.35 * middle else middle
        values.append(shown if len(finite) == len(part) else None)
        step = steps[logged[stop - 1]]
        ends.append(step if step is not None else float(stop))
    return Columns(tuple(values), tuple(ends))


def spans_of(finding: Finding) -> list[tuple[float, float]]:
    """Return the first and last step of each stretch that a finding speaks of."""
    spikes = finding.evidence.get("spikes")
    found = [spike["steps"] for spike in spikes] if spikes else [finding.evidence.get("steps")]
    return [
        (float(span[0]), float(span[1]))
        for span in found
        if isinstance(span, list | tuple) and len(span) == 2 and None not in span
    ]


def _rows(
    heights: Sequence[float | None], scale: Scale, name: str, margin: int, ramp: str
) -> list[str]:
    labels = {scale.rows - 1: figure(scale.high), 0: figure(scale.low), scale.rows // 2: name}
    lines = []
    for row in reversed(range(scale.rows)):
        cells = "".join(_cell(height, row, ramp) for height in heights)
        lines.append(f"{labels.get(row, ''):>{margin}} |{cells}".rstrip())
    return lines


def _cell(height: float | None, row: int, ramp: str) -> str:
    if height is None:
        return "!" if row == 0 else " "
    filled = min(1.0, max(0.0, height - row))
    return ramp[math.ceil(filled * (len(ramp) - 1) - 1e-9)]


def _edges(run: Run) -> tuple[str, str]:
    steps = [r.step for r in run.judged if r.loss is not None]
    if steps[0] is None or steps[-1] is None:
        return "record 1", f"{len(steps):,}"
    return f"step {steps[0]:,.0f}", f"{steps[-1]:,.0f}"


def _held_out(run: Run, columns: Columns, margin: int, ramp: str) -> list[str]:
    """Return held-out losses as bars below the curve, each at its own step."""
    losses = [(e.step, e.loss) for e in run.held_out if e.loss is not None and e.step is not None]
    if len(losses) < 2:
        return []
    scale = Scale.of([loss for _, loss in losses], HELD_OUT_HEIGHT)
    heights: list[float] = [0.0] * len(columns.values)
    for step, loss in losses:
        heights[columns.of_step(step)] = scale.height(loss) or 0.0
    return ["", *_rows(heights, scale, "held-out", margin, ramp)]


def _marks(findings: Sequence[Finding], columns: Columns, margin: int, paint: Paint) -> list[str]:
    lines = []
    for finding in sorted(findings, key=lambda item: list(Severity).index(item.severity)):
        spans = spans_of(finding)
        if not spans:
            continue
        cells = [" "] * len(columns.values)
        for first, last in spans:
            for place in range(columns.of_step(first), columns.of_step(last) + 1):
                cells[place] = "^"
        marked = paint("".join(cells).rstrip(), COLOURS[finding.severity])
        lines.append(f"{finding.name[:margin]:>{margin}}  {marked}")
    return lines
