"""Draw a loss curve in a few lines of text: block characters, or plain ASCII."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.statistics import median
from ftspec.doctor.curves.words import figure
from ftspec.spec.finding import Finding

HEIGHT = 6
BLOCKS = " ▁▂▃▄▅▆▇█"
ASCII = " .:#"
LOG_FROM = 50.0  # highest to lowest: from there on the scale is logarithmic
MARGIN = 9


@dataclass(frozen=True, slots=True)
class Columns:
    """The curve cut into columns: a value each (None: not finite), and the last step in each."""

    values: tuple[float | None, ...]
    ends: tuple[float, ...]

    def of_step(self, step: float) -> int:
        """Return the column that a step falls into."""
        return next((i for i, end in enumerate(self.ends) if step <= end), len(self.ends) - 1)


def draw(run: Run, findings: Sequence[Finding], width: int = 72, unicode: bool = True) -> list[str]:
    """Return the curve as lines: the loss, its steps, held-out losses, the flagged spans."""
    columns = columns_of(run, width - MARGIN - 2)
    known = [value for value in columns.values if value is not None]
    if len(known) < 3:
        return []
    low, high = _range(known)
    ramp = BLOCKS if unicode else ASCII
    logarithmic = low > 0 and high / low > LOG_FROM
    heights = [_height(value, low, high, logarithmic) for value in columns.values]
    lines = []
    for row in reversed(range(HEIGHT)):
        label = figure(high) if row == HEIGHT - 1 else figure(low) if row == 0 else ""
        cells = "".join(_cell(height, row, ramp) for height in heights)
        lines.append(f"{label:>{MARGIN}} |{cells}".rstrip())
    first, last = _edges(run)
    scale = "  (log scale)" if logarithmic else ""
    gap = max(1, len(columns.values) - len(first) - len(last))
    lines.append(f"{'':{MARGIN}} +{'-' * len(columns.values)}{scale}")
    lines.append(f"{'':{MARGIN}}  {first}{' ' * gap}{last}")
    return lines + _held_out(run, columns, ramp) + _marks(findings, columns)


def columns_of(run: Run, width: int) -> Columns:
    """Cut the judged records into at most `width` columns of about as many records each.

    A column shows its median, or its highest record where that stands far out: a spike of one
    record must not vanish.
    """
    records = [record for record in run.judged if record.loss is not None]
    count = min(width, len(records))
    values: list[float | None] = []
    ends: list[float] = []
    for column in range(count):
        start = column * len(records) // count
        stop = (column + 1) * len(records) // count
        part = [r.loss for r in records[start:stop] if r.loss is not None]
        finite = [loss for loss in part if math.isfinite(loss)]
        middle, top = median(finite), max(finite, default=0.0)
        shown = top if top > 1.35 * middle else middle
        values.append(shown if len(finite) == len(part) else None)
        step = records[stop - 1].step
        ends.append(step if step is not None else float(stop))
    return Columns(tuple(values), tuple(ends))


def _range(known: Sequence[float]) -> tuple[float, float]:
    """Return the ends of the scale: at least a tenth of the loss, so that flat looks flat."""
    low, high = min(known), max(known)
    least = 0.1 * max(abs(low), abs(high))
    if high - low < least:
        middle = (low + high) / 2
        return middle - least / 2, middle + least / 2
    return low, high


def _height(value: float | None, low: float, high: float, logarithmic: bool) -> float | None:
    """Return the height in rows; a sixth of a row is the least, so that the lowest is seen."""
    if value is None:
        return None
    if logarithmic:
        value, low, high = math.log(value), math.log(low), math.log(high)
    share = (value - low) / (high - low) if high > low else 0.5
    return 1 / 6 + share * (HEIGHT - 1 / 6)


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


def _held_out(run: Run, columns: Columns, ramp: str) -> list[str]:
    losses = [(e.step, e.loss) for e in run.held_out if e.loss is not None and e.step is not None]
    if len(losses) < 2:
        return []
    known = [loss for _, loss in losses]
    low, high = min(known), max(known)
    cells = [" "] * len(columns.values)
    for step, loss in losses:
        share = (loss - low) / (high - low) if high > low else 0.5
        cells[columns.of_step(step)] = ramp[1 + round(share * (len(ramp) - 2))]
    return [f"{'held-out':>{MARGIN}}  {''.join(cells).rstrip()}"]


def _marks(findings: Sequence[Finding], columns: Columns) -> list[str]:
    lines = []
    for finding in findings:
        span = finding.evidence.get("steps")
        if not isinstance(span, list):
            continue
        cells = [" "] * len(columns.values)
        spans = [spike["steps"] for spike in finding.evidence.get("spikes", ())] or [span]
        for first, last in spans:
            for place in range(columns.of_step(first), columns.of_step(last) + 1):
                cells[place] = "^"
        lines.append(f"{finding.name:>{MARGIN}}  {''.join(cells).rstrip()}")
    return lines
