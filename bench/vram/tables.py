"""Numbers and tables of the report: errors, intervals, verdicts. Pure functions over rows."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

GIB = 2**30
CONFIDENCE = 0.95
SPLITS = ("fresh", "score", "tune")


@dataclass(frozen=True, slots=True)
class Row:
    """One measured case beside today's prediction of it; sizes in bytes.

    driver: reserved + context; None where the driver hides the context. cap: bytes, or None.
    outcome: `ran`, `died` (out of memory), `over` (it ran, but the driver showed more than the
    cap, since libraries took more at the end than was known before), or `failed` (for another
    reason). predicted sizes are None where no prediction could be made.
    """

    case: str
    split: str
    architecture: str
    method: str
    gpu: str
    cap: int | None
    outcome: str
    allocated: int | None
    driver: int | None
    phase: str
    predicted_allocated: int | None
    predicted_driver: int | None
    low: int | None
    high: int | None
    verdict: str
    predicted_phase: str
    way: str
    said: str = ""

    @property
    def allocated_error(self) -> float | None:
        """Predicted over measured, less one, of the allocator's peak; None: not both known."""
        return _error(self.predicted_allocated, self.allocated)

    @property
    def driver_error(self) -> float | None:
        """The same of what the driver shows."""
        return _error(self.predicted_driver, self.driver)

    @property
    def inside(self) -> bool | None:
        """Whether the driver's figure lies in the predicted interval."""
        if self.driver is None or self.low is None or self.high is None:
            return None
        return self.low <= self.driver <= self.high


def _error(predicted: int | None, measured: int | None) -> float | None:
    return None if predicted is None or not measured else predicted / measured - 1


def accurate(rows: Iterable[Row]) -> list[Row]:
    """Return the rows that errors are taken from: uncapped ones that ran."""
    return [row for row in rows if row.cap is None and row.outcome == "ran"]


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def error_cells(errors: Sequence[float]) -> list[str]:
    """Return n, median, 95th percentile, and the worst under and over, as cells."""
    if not errors:
        return ["0", "-", "-", "-", "-"]
    sizes = [abs(error) for error in errors]
    cells = [f"{median(sizes):.2%}", f"{quantile(sizes, 0.95):.2%}"]
    return [str(len(errors)), *cells, f"{min(*errors, 0.0):+.2%}", f"{max(*errors, 0.0):+.2%}"]


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(cells) + " |" for cells in body)]) + "\n"


ERRORS = ("n", "median", "95th", "worst under", "worst over")


def accuracy(rows: Sequence[Row]) -> str:
    """Return the errors of both figures, split by split, and how often intervals held."""
    body = []
    for split in SPLITS:
        chosen = [row for row in accurate(rows) if row.split == split]
        for name, errors in _both(chosen):
            close = f"{sum(abs(e) < 0.01 for e in errors) / len(errors):.0%}" if errors else "-"
            body.append([split, name, *error_cells(errors), close])
    return table(["split", "peak", *ERRORS, "within 1 %"], body)


def _both(rows: Sequence[Row]) -> list[tuple[str, list[float]]]:
    allocated = [row.allocated_error for row in rows]
    driver = [row.driver_error for row in rows]
    return [
        ("allocated", [error for error in allocated if error is not None]),
        ("driver", [error for error in driver if error is not None]),
    ]


def grouped(rows: Sequence[Row], name: str, key: Callable[[Row], str]) -> str:
    """Return the errors group by group: one line each, both figures."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in accurate(rows):
        groups[key(row)].append(row)
    body = []
    for group, members in sorted(groups.items()):
        (_, allocated), (_, driver) = _both(members)
        body.append([group, *error_cells(allocated), *error_cells(driver)[1:]])
    head = [f"allocated: {word}" for word in ERRORS[1:]]
    return table([name, "n", *head, *(f"driver: {word}" for word in ERRORS[1:])], body)


def coverage(rows: Sequence[Row]) -> str:
    """Return how often the driver's figure lay in [low, high], and how wide that is."""
    body = []
    for split in SPLITS:
        chosen = [row for row in accurate(rows) if row.split == split and row.inside is not None]
        widths = [(row.high or 0) / (row.low or 1) - 1 for row in chosen]
        held = sum(bool(row.inside) for row in chosen)
        share = f"{held / len(chosen):.1%}" if chosen else "-"
        wide = f"{median(widths):.1%}" if widths else "-"
        body.append([split, str(len(chosen)), share, wide])
    return table(["split", "n", "inside", "median width"], body)


def verdicts(rows: Sequence[Row]) -> str:
    """Return what was said against what happened, and what follows from it."""
    parts = []
    for split in (*SPLITS, "all"):
        chosen = [row for row in rows if split in (row.split, "all") and row.outcome != "failed"]
        counts = Counter((row.verdict, row.outcome) for row in chosen)
        body = [
            [said, *(str(counts[said, outcome]) for outcome in ("ran", "over", "died"))]
            for said in ("fits", "tight", "no", "unknown")
        ]
        parts.append(f"**{split}**\n\n" + table(["said", "ran", "over", "died"], body))
        parts.append(conclusions(chosen))
    return "\n".join(parts)


def conclusions(rows: Sequence[Row]) -> str:
    """Return the shares that the bar is about: false fits, tight, false no."""
    told = [row for row in rows if row.verdict != "unknown"]
    if not told:
        return "no verdicts\n"
    false_fits = [row for row in told if row.verdict == "fits" and row.outcome in ("died", "over")]
    false_no = [row for row in told if row.verdict == "no" and row.outcome in ("ran", "over")]
    tight = sum(row.verdict == "tight" for row in told)
    lines = [
        f"- said `fits`, and died or went over its cap: {len(false_fits)} of {len(told)}"
        + (f" (under {bound(len(told)):.2%} at 95 % confidence)" if not false_fits else ""),
        f"- said `tight`: {tight} of {len(told)} ({tight / len(told):.1%})",
        f"- said `no`, and ran: {len(false_no)} of {len(told)} ({len(false_no) / len(told):.1%})",
    ]
    lines += [f"  - false: `{row.case}`" for row in (*false_fits, *false_no)]
    return "\n".join(lines) + "\n"


def bound(count: int) -> float:
    """Return the share that none in `count` rules out: 1 - 0.05^(1/n), the exact binomial."""
    return float(1 - (1 - CONFIDENCE) ** (1 / count))


def worst(rows: Sequence[Row], count: int = 10) -> str:
    """Return the cases with the largest errors of either figure, with the phase of the peak."""

    def size(row: Row) -> float:
        return max(abs(row.allocated_error or 0), abs(row.driver_error or 0))

    chosen = sorted(accurate(rows), key=size, reverse=True)[:count]
    body = [
        [
            f"`{row.case}`",
            row.split,
            f"{gib(row.predicted_allocated)} of {gib(row.allocated)}",
            percent(row.allocated_error),
            f"{gib(row.predicted_driver)} of {gib(row.driver)}",
            percent(row.driver_error),
            f"{row.predicted_phase}, {row.phase}",
        ]
        for row in chosen
    ]
    head = ["case", "split", "allocated, GiB: predicted of measured", "error"]
    return table([*head, "driver, GiB", "error", "phase of the peak: predicted, measured"], body)


def repeats(sizes: dict[str, list[tuple[int, int | None]]]) -> str:
    """Return how far repeats of a case lie apart; sizes: case -> its (allocated, driver) bytes."""
    body = []
    for case, pairs in sorted(sizes.items()):
        if len(pairs) > 1:
            allocated = [first for first, _ in pairs]
            driver = [second for _, second in pairs if second]
            spreads = [
                f"{max(group) / min(group) - 1:.3%}" for group in (allocated, driver) if group
            ]
            body.append([f"`{case}`", str(len(pairs)), *spreads, *["-"] * (2 - len(spreads))])
    return (
        table(["case", "runs", "allocated: largest over smallest", "driver"], body) if body else ""
    )


def gib(size: int | None) -> str:
    """Return bytes in GiB."""
    return "-" if size is None else f"{size / GIB:.2f}"


def percent(share: float | None) -> str:
    """Return a signed share."""
    return "-" if share is None else f"{share:+.2%}"


def capped_table(rows: Sequence[Row], lives: dict[str, int]) -> str:
    """Return each capped case; lives: case -> the smallest cap, bytes, under which it ran."""
    body = [
        [
            f"`{row.case}`",
            row.split,
            gib(row.cap),
            gib(row.predicted_driver),
            row.verdict,
            row.outcome,
            gib(lives.get(row.case)),
        ]
        for row in sorted(rows, key=lambda row: (row.cap or 0, row.case))
        if row.cap is not None
    ]
    head = [
        "case",
        "split",
        "cap, GiB",
        "predicted",
        "said",
        "outcome",
        "smallest cap it ran under",
    ]
    return table(head, body)
