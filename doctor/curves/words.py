"""Numbers in sentences: short figures, steps, shares, spans."""

from __future__ import annotations

from collections.abc import Sequence

from ftspec.doctor.curves.series import EvalRecord, Record


def figure(value: float) -> str:
    """Write a loss or a norm with four significant digits."""
    return f"{value:.4g}"


def share(value: float) -> str:
    """Write a share as percent: `3.1 %`, `48 %`."""
    percent = value * 100
    return f"{percent:.0f} %" if abs(percent) >= 10 else f"{percent:.1f} %"


def count(number: int, noun: str) -> str:
    """Write a number with its noun: `1 record`, `3 records`, `2 losses`."""
    if number == 1:
        return f"{number:,} {noun}"
    return f"{number:,} {noun}es" if noun.endswith("s") else f"{number:,} {noun}s"


def factor(value: float) -> str:
    """Write a ratio: `2.8 times`, `21 times`."""
    return f"{value:.0f} times" if value >= 10 else f"{value:.1f} times"


def at(records: Sequence[Record | EvalRecord], place: int) -> str:
    """Name a record by its step, else its epoch, else its place in the log."""
    record = records[place]
    if record.step is not None:
        return f"step {record.step:,.0f}"
    if record.epoch is not None:
        return f"epoch {record.epoch:.4g}"
    return f"record {place + 1:,}"


def span(records: Sequence[Record | EvalRecord], first: int, last: int) -> list[float]:
    """Return the first and last step of a span of records, as evidence holds it."""
    return [
        float(record.step) if record.step is not None else float(place + 1)
        for place, record in ((first, records[first]), (last, records[last]))
    ]
