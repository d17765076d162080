"""Hold the planner's choice against the best of the points that were timed."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
RAN = "tokens_per_second"


def report(out: Path, folder: Path, target: Path = HERE / "PLANNER.md") -> Path:
    """Write PLANNER.md. folder: of `prepare`, which says what was chosen.

    Raises SystemExit where no setting has a time of its choice.
    """
    rows = {row["case"]: row for row in map(json.loads, out.read_text().splitlines())}
    settings: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for item in json.loads((folder / "cases.json").read_text()):
        if item["id"] in rows:
            settings[item["setting"]["name"]].append({**item, **rows[item["id"]]})
    told = {name: shares(points) for name, points in settings.items()}
    judged = {name: share for name, share in told.items() if share is not None}
    if not judged:
        raise SystemExit("no setting has a time of its choice")
    first = next(iter(rows.values()))
    versions = ", ".join(f"{name} {number}" for name, number in first["versions"].items())
    lines = [
        "# What the planner chose, and the best of what was timed",
        "",
        f"{first['gpu']}, driver {first['driver']}; {versions}. Made by `speed.py`; settings.py "
        "says what was timed, and was committed before the first of it ran.",
        "",
        f"Of the best point's tokens a second the choice has {median(judged.values()):.0%} on "
        f"median, and {min(judged.values()):.0%} at worst, over {len(judged)} settings.",
        "",
        "| setting | cap, GiB | point | tokens/s | driver, GiB | of the best |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, points in settings.items():
        lines += [line(name, point, best(points)) for point in sorted(points, key=_rate)[::-1]]
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return target


def best(points: list[dict[str, Any]]) -> float:
    """Return the largest rate of a setting's points; 0 where none ran."""
    return max(map(_rate, points), default=0.0)


def shares(points: list[dict[str, Any]]) -> float | None:
    """Return the chosen point's rate over the best one's; 0 where it died, None: not timed."""
    chosen = [point for point in points if point["chosen"]]
    top = best(points)
    return _rate(chosen[0]) / top if chosen and top else None


def line(name: str, point: dict[str, Any], top: float) -> str:
    """Return a point's line of the table; the choice is bold."""
    label = point["id"].removeprefix(f"{name}-")
    label = f"**{label}**" if point["chosen"] else label
    size = ((point.get("reserved") or 0) + (point.get("context") or 0)) / 2**30
    rate = f"{point[RAN]:,.0f}" if point.get(RAN) else f"exit {point['exit']}"
    share = f"{_rate(point) / top:.0%}" if top and point.get(RAN) else "-"
    cap = point["setting"]["cap_gib"]
    return f"| {name} | {cap} | {label} | {rate} | {size:.1f} | {share} |"


def _rate(point: dict[str, Any]) -> float:
    return float(point.get(RAN) or 0) if point["exit"] == 0 else 0.0
