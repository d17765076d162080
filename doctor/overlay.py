"""Show a comparison as text: the runs drawn over each other, a table, and the verdicts."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from string import ascii_uppercase

from ftspec.doctor.chart import MARGIN, Scale
from ftspec.doctor.compare import Comparison, Row
from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.statistics import median
from ftspec.doctor.curves.words import figure, share
from ftspec.doctor.verdict import Verdict
from ftspec.spec.render import Paint, no_paint, printable

HEIGHT = 10
SEVERAL = "*"  # where two runs fall into one place
MOST = len(ascii_uppercase)
SEEDS = "noise within a run only: two seeds of one recipe can differ by more"

Points = Sequence[tuple[float, float]]


def comparison_text(comparison: Comparison, paint: Paint = no_paint, width: int = 80) -> str:
    """Return the comparison as text: a letter stands for each run."""
    lines = [paint(f"comparison of {len(comparison.rows)} runs", "bold"), ""]
    names = short_names([row.name for row in comparison.rows])
    for letter, name in zip(letters(len(names)), names, strict=True):
        lines.append(f"  {letter}  {printable(name)}")
    lines += ["", *overlay(comparison, width), "", *table(comparison.rows, width), ""]
    for verdict in comparison.verdicts:
        lines += _verdict(verdict, letters(len(names)), paint, width)
    if len(comparison.rows) > 2:
        best = comparison.best
        said = "none of them is better than all others"
        if best is not None:
            said = f"{letters(len(names))[best]} is better than each other one"
        lines += ["", paint(said, "bold")]
    return "\n".join(lines) + "\n"


def letters(count: int) -> list[str]:
    """Return a letter for each run; after Z the letters double."""
    return [ascii_uppercase[n % MOST] * (1 + n // MOST) for n in range(count)]


def short_names(names: Sequence[str]) -> list[str]:
    """Return paths without the folders that all of them begin with."""
    parts = [Path(name).parts for name in names]
    same = 0
    while all(len(each) > same + 1 for each in parts) and len({each[same] for each in parts}) == 1:
        same += 1
    shortened = [each[same:] for each in parts]
    return [str(Path(*each)) if each else name for each, name in zip(shortened, names, strict=True)]


def by_held_out(comparison: Comparison) -> bool:
    """Say whether held-out losses are what is drawn: every run has two of them."""
    return all(len(item.run.held_out) > 1 for item in comparison.runs)


def points_of(run: Run, held_out: bool) -> list[tuple[float, float]]:
    """Return steps (else places) and losses of one run."""
    if held_out:
        known = [(e.step, e.loss) for e in run.held_out if e.loss is not None]
    else:
        known = list(zip(run.curve.values("step"), run.losses, strict=True))
    placed = [(float(n) if step is None else step, loss) for n, (step, loss) in enumerate(known)]
    return [(step, loss) for step, loss in placed if math.isfinite(step)]


def overlay(comparison: Comparison, width: int) -> list[str]:
    """Draw all runs on one pair of scales, each by its letter."""
    held_out = by_held_out(comparison)
    curves = [points_of(item.run, held_out) for item in comparison.runs]
    columns = width - MARGIN - 2
    first = min(curve[0][0] for curve in curves)
    last = max(curve[-1][0] for curve in curves)
    drawn = [_columns(curve, first, last, columns) for curve in curves]
    scale = Scale.of([v for values in drawn for v in values if v is not None], HEIGHT)
    grid = [[" "] * columns for _ in range(HEIGHT)]
    for letter, values in zip(letters(len(drawn)), drawn, strict=True):
        for column, value in enumerate(values):
            height = scale.height(value)
            if height is not None:
                row = min(HEIGHT - 1, int(height))
                grid[row][column] = letter[0] if grid[row][column] == " " else SEVERAL
    name = "held-out" if held_out else "loss"
    labels = {HEIGHT - 1: figure(scale.high), 0: figure(scale.low), HEIGHT // 2: name}
    lines = [
        f"{labels.get(row, ''):>{MARGIN}} |{''.join(grid[row])}".rstrip()
        for row in reversed(range(HEIGHT))
    ]
    start, end = f"step {first:,.0f}", f"{last:,.0f}"
    logarithmic = "log scale" if scale.logarithmic else ""
    lines.append(f"{'':{MARGIN}} +{'-' * columns}")
    gap = " " * max(1, columns - len(start) - len(end))
    lines.append(f"{logarithmic:>{MARGIN}}  {start}{gap}{end}")
    return lines


def _columns(curve: Points, first: float, last: float, columns: int) -> list[float | None]:
    """Return the median of what falls into each column; a gap between two is crossed by a line."""
    inside: list[list[float]] = [[] for _ in range(columns)]
    for step, loss in curve:
        share_of = (step - first) / (last - first) if last > first else 0.0
        inside[min(columns - 1, int(share_of * columns))].append(loss)
    known = [(n, median(values)) for n, values in enumerate(inside) if values]
    found: list[float | None] = [None] * columns
    for (start, low), (end, high) in zip(known, known[1:], strict=False):
        for column in range(start, end):
            found[column] = low + (high - low) * (column - start) / (end - start)
    if known:
        found[known[-1][0]] = known[-1][1]
    return found


def table(rows: Sequence[Row], width: int) -> list[str]:
    """Return the runs in a table; columns that no run has are left out."""
    head = ("", "final", "best held-out", "at step", "steps", "tokens", "time", "noise")
    body = [cells(letter, row) for letter, row in zip(letters(len(rows)), rows, strict=True)]
    kept = [n for n in range(len(head)) if n == 0 or any(row[n] != "-" for row in body)]
    grid = [[row[n] for n in kept] for row in (head, *body)]
    widths = [max(len(row[n]) for row in grid) for n in range(len(kept))]
    lines = [
        "  " + "  ".join(f"{cell:>{size}}" for cell, size in zip(row, widths, strict=True))
        for row in grid
    ]
    for letter, row in zip(letters(len(rows)), rows, strict=True):
        said = ", ".join(row.findings) or "no warnings"
        lines += textwrap.wrap(f"  {letter}: {said}", width, subsequent_indent="     ")
    return lines


def cells(letter: str, row: Row) -> tuple[str, ...]:
    """Return a run's row of the table; `-` is not logged."""
    return (
        letter,
        _loss(row.final),
        _loss(row.best),
        _whole(row.best_step),
        _whole(row.steps),
        _whole(row.tokens),
        duration(row.seconds),
        "-" if row.noise is None else share(row.noise),
    )


def duration(seconds: float | None) -> str:
    """Write a time: `2 h 05 min`, `14 min`, `30 s`."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def said(verdict: Verdict, names: Sequence[str]) -> str:
    """Return a verdict in a sentence."""
    first, second = (names[place] for place in verdict.pair)
    if verdict.better is None:
        if verdict.interval is None or verdict.difference is None:
            return f"{first} or {second}: cannot tell which is better"
        return (
            f"{first} or {second}: no difference beyond noise: {verdict.by} "
            f"{figure(verdict.difference)} apart{_interval(verdict)}"
        )
    better = names[verdict.better]
    if verdict.difference is None:
        return f"{better} is better than {second if better == first else first}"
    other = second if better == first else first
    by = f" ({share(verdict.relative)})" if verdict.relative is not None else ""
    beyond = "beyond noise" if verdict.exceeds_noise else "whether beyond noise cannot be told"
    return (
        f"{better} is better than {other} by {verdict.by}: {figure(verdict.difference)} lower{by}, "
        f"{beyond}{_interval(verdict)}"
    )


def _interval(verdict: Verdict) -> str:
    if verdict.interval is None:
        return ""
    return f" (95 %: {verdict.interval.low:.3g} to {verdict.interval.high:.3g})"


def _verdict(verdict: Verdict, names: Sequence[str], paint: Paint, width: int) -> list[str]:
    sentence = textwrap.wrap(said(verdict, names), width, subsequent_indent="  ")
    lines = [paint(line, "bold") for line in sentence]
    for reason in verdict.reasons:
        lines += textwrap.wrap(f"  = {printable(reason)}", width, subsequent_indent="    ")
    if verdict.method:
        lines += textwrap.wrap(f"  = method: {verdict.method}", width, subsequent_indent="    ")
    if verdict.exceeds_noise:
        lines += textwrap.wrap(f"  = {SEEDS}", width, subsequent_indent="    ")
    return lines


def _loss(value: float | None) -> str:
    return "-" if value is None else figure(value)


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"
