"""Write RESULTS.md: what was measured beside what ftspec predicts today."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import tables
from capped import NEAR_HIGH, NEAR_LOW
from capped import read as read_capped
from cases import FRESH, SCORE, TUNE, Case
from grid import grid
from measure import OUT_OF_MEMORY, read_results
from peer_tables import peer_table, t4_table
from plots import draw
from predictions import Predictions
from tables import GIB, Row

from ftspec import __version__

HERE = Path(__file__).resolve().parent
# What the worker's phases are called in a prediction.
PHASES = dict.fromkeys(("forward", "backward", "clip", "optimizer", "log", "begin"), "train")
PHASES |= dict.fromkeys(("start", "load", "setup"), "load")


def report(
    out: Path,
    folder: Path,
    peers: Path | None = None,
    t4: Path | None = None,
    target: Path = HERE,
    jobs: int = 1,
) -> Path:
    """Compile the measured cases again in `folder` and write RESULTS.md and its plots.

    peers: the file that peers.py wrote; t4: the folder of the public T4 rows. jobs: predictions
    made at once; each is kept in `folder`, so that a report that was stopped goes on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results = read_results(out)
    rows, lives, strangers = joined(results, Predictions(folder, jobs))
    figures = draw(rows, target)
    answers = json.loads(peers.read_text()) if peers else {}
    parts = [head(results, rows, strangers), _body(rows, lives, figures), _repeats(results)]
    if answers:
        parts.append(
            "## Other estimators on the same cases\n\n" + peer_table(rows, answers["cases"])
        )
    if t4:
        parts.append("## The public T4 rows\n\n" + t4_table(t4, answers.get("t4", {})))
    parts.append(_failures(rows))
    path = target / "RESULTS.md"
    path.write_text("\n".join(part for part in parts if part), encoding="utf-8")
    return path


def joined(
    results: Sequence[dict[str, Any]], predictions: Predictions
) -> tuple[list[Row], dict[str, int], list[str]]:
    """Return the newest row of each case and card, the smallest caps that were large enough, and
    the ids that no case has today, or of models whose config is another today.
    """
    known = {case.id: case for case in (*grid(), *read_capped())}
    newest: dict[tuple[str, str], dict[str, Any]] = {}
    lives: dict[str, int] = {}
    for result in results:
        case = known.get(result["case"])
        if case is None:
            continue
        cap = result.get("cap_bytes")
        if cap and outcome(result, cap) == "ran":
            lives[case.id] = min(cap, lives.get(case.id, cap))
        if not cap or cap == (case.cap_gib or 0) * GIB:
            newest[case.id, result["gpu"]] = result
    predictions.make([(known[name], card) for name, card in newest])
    made = {key: row_of(known[key[0]], result, predictions) for key, result in newest.items()}
    rows = [row for row in made.values() if row is not None]
    strangers = {result["case"] for result in results} - set(known)
    strangers |= {name for (name, _), row in made.items() if row is None}
    return rows, lives, sorted(strangers)


def outcome(result: dict[str, Any], cap: int | None) -> str:
    """Return `ran`, `over`, `died` or `failed`: tables.Row says what they mean."""
    if result["exit"] == OUT_OF_MEMORY:
        return "died"
    if result["exit"] != 0:
        return "failed"
    driver = driver_bytes(result)
    return "over" if cap and driver is not None and driver > cap else "ran"


def driver_bytes(result: dict[str, Any]) -> int | None:
    """Return reserved + context at the peak, or None where the context is hidden."""
    reserved, context = result.get("reserved"), result.get("context")
    return None if reserved is None or context is None else reserved + context


def row_of(case: Case, result: dict[str, Any], predictions: Predictions) -> Row | None:
    """Return a result beside today's prediction for the card that it was measured on.

    None where the model's config.json is not the one that was measured.
    """
    memory = predictions.of(case, result["gpu"])
    measured = result.get("config")
    if measured and measured != memory.config:
        return None
    cap = case.cap_gib * GIB if case.cap_gib else None
    phase = result.get("phase") or ""
    return Row(
        case=case.id,
        split=case.split,
        architecture=case.architecture,
        method=case.method,
        gpu=result["gpu"],
        cap=cap,
        outcome=outcome(result, cap),
        allocated=result.get("allocated"),
        driver=driver_bytes(result),
        phase=PHASES.get(phase, phase),
        predicted_allocated=memory.allocated,
        predicted_driver=memory.driver,
        low=memory.low,
        high=memory.high,
        verdict=memory.verdict,
        predicted_phase=memory.phase,
        way=memory.way,
        said=result.get("said", ""),
    )


def head(results: Iterable[dict[str, Any]], rows: Sequence[Row], strangers: list[str]) -> str:
    """Return the page's first part: what was measured on what, and how to read it."""
    results = list(results)
    stacks = Counter(
        f"{result['gpu']}, driver {result['driver']}, "
        + ", ".join(f"{name} {number}" for name, number in result["versions"].items())
        for result in results
    )
    ways = Counter(row.way for row in rows)
    grids = sum(row.cap is None for row in rows)
    unknown = sum(row.predicted_allocated is None for row in rows)
    lines = [
        "# Memory: predicted and measured",
        "",
        f"Written by `bench.py report` with ftspec {__version__}; README.md says how cases are",
        "made and measured. Errors are predicted over measured, less one; *under* is a prediction",
        "that is too small. *allocated*: the allocator's peak; *driver*: reserved + context.",
        "",
        "The split is by architecture and was written down before any measurement:",
        "",
        f"- **fresh**, blind: chosen last, and the code that predicts them was committed before "
        f"any of them ran: {', '.join(FRESH)}",
        f"- **score**, never tuned on, but the causes of the worst misses among its first results "
        f"were looked for and mended: {', '.join(SCORE)}",
        f"- **tune**, looked at: {', '.join(TUNE)}",
        "",
        *(f"- {count} results: {stack}" for stack, count in stacks.items()),
        f"- {grids} grid cases and {len(rows) - grids} capped ones, {unknown} of them without a "
        "prediction; "
        + ", ".join(f"{count} predicted by {way}" for way, count in ways.most_common()),
    ]
    if strangers:
        lines.append(
            f"- left out: results of {len(strangers)} cases that the grid no longer has, or "
            "whose model's config.json is another today"
        )
    return "\n".join(lines) + "\n"


def _body(rows: Sequence[Row], lives: dict[str, int], figures: Sequence[Path]) -> str:
    phases = Counter(row.phase == row.predicted_phase for row in tables.accurate(rows))
    capped = [row for row in rows if row.cap is not None]
    shares = [(row.predicted_driver or 0) / (row.cap or 1) for row in capped]
    near = sum(NEAR_LOW <= share <= NEAR_HIGH for share in shares)
    sections = {
        "Accuracy (grid cases that ran)": tables.accuracy(rows)
        + f"\nThe phase of the peak was predicted in {phases[True]} of {phases.total()} cases.\n",
        "Predicted against measured": "\n".join(f"![{path.stem}]({path.name})" for path in figures),
        "The interval": tables.coverage(rows),
        "Verdicts (grid and capped)": tables.verdicts(rows),
        "By architecture": tables.grouped(
            rows, "architecture", lambda row: f"{row.split}: {row.architecture}"
        ),
        "By method": tables.grouped(rows, "method", lambda row: f"{row.split}: {row.method}"),
        **{
            f"The ten worst, {split}": tables.worst([row for row in rows if row.split == split])
            for split in tables.SPLITS
        },
        "Capped runs": f"Today {near} of {len(capped)} are predicted within "
        f"{NEAR_LOW:.0%} to {NEAR_HIGH:.0%} of their caps.\n\n"
        + tables.capped_table(capped, lives),
    }
    return "\n".join(f"## {title}\n\n{text}" for title, text in sections.items() if text)


def _repeats(results: Sequence[dict[str, Any]]) -> str:
    sizes: dict[str, list[tuple[int, int | None]]] = defaultdict(list)
    for result in results:
        if result["exit"] == 0 and result.get("allocated") and not result.get("cap_bytes"):
            name = f"{result['case']} ({result['gpu']})"
            sizes[name].append((result["allocated"], driver_bytes(result)))
    text = tables.repeats(sizes)
    return "## Repeats\n\n" + text if text else ""


def _failures(rows: Sequence[Row]) -> str:
    failed = [row for row in rows if row.outcome == "failed"]
    died = [row for row in rows if row.outcome == "died" and row.cap is None]
    if not failed and not died:
        return ""
    lines = [f"- `{row.case}`: {_last(row.said)}" for row in failed]
    lines += [f"- `{row.case}`: out of memory on the whole card" for row in died]
    return "## Cases that gave no figure\n\n" + "\n".join(lines) + "\n"


def _last(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "nothing was said"
