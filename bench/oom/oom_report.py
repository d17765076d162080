"""RESULTS.md of the runs that ran out of memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

GIB = 2**30
HEAD = (
    "memory ran out in",
    "project",
    "cap, GiB",
    "as written, GiB",
    "out of memory at step",
    "went on from",
    "changed",
    "attempts",
    "rows a step",
    "largest difference of a step's loss",
    "recovered",
)


def report(out: Path) -> str:
    """Return the page of a file of results."""
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    if not rows:
        raise SystemExit(f"{out} holds no results")
    first, recovered = rows[0], sum(row["recovered"] for row in rows)
    batches = sum(len(row["effective_batches"]) == 1 for row in rows)
    versions = ", ".join(f"{name} {value}" for name, value in first["versions"].items())
    lines = [
        "# Out of memory under caps, and `ftspec run` left alone with it",
        "",
        f"{first['gpu']}; {versions}. Made by `python bench/oom/oom.py`; README.md says how.",
        "",
        f"{recovered} of {len(rows)} runs finished by themselves; the rows a step stayed what they "
        f"were in {batches} of {len(rows)}. The last but one column: of all steps of the run, "
        "against the same step of the same project without a cap, as a share of that loss.",
        "",
        f"| {' | '.join(HEAD)} |",
        f"|{' --- |' * len(HEAD)}",
    ]
    return "\n".join([*lines, *(line(row) for row in rows)]) + "\n"


def line(row: dict[str, Any]) -> str:
    """Return a run's row of the table."""
    at = ", ".join(sorted({f"{phase} {step or 0}" for phase, step in row["out_of_memory"]}))
    changed = "; ".join(
        f"{path.partition('.')[2]} {words(asked)} -> {words(planned)}"
        for path, asked, planned in row["changes"]
    )
    cells = (
        row["phase"],
        f"{row['model'].partition('/')[2]} {row['method']}",
        f"{row['cap_bytes'] / GIB:.2f}" if row["cap_bytes"] else "what is held, at the second save",
        f"{row['predicted_bytes'] / GIB:.2f}" if row["cap_bytes"] else "-",
        at or "-",
        ", ".join(dict.fromkeys(one or "the start" for one in row["resumed_from"])) or "-",
        changed or "-",
        str(row["attempts"]),
        ", ".join(map(str, row["effective_batches"])),
        difference(row),
        "yes" if row["recovered"] else "no",
    )
    return f"| {' | '.join(cells)} |"


def words(value: object) -> str:
    """Return a value as a spec has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def difference(row: dict[str, Any]) -> str:
    """Return the largest difference from the undisturbed run, and where it is."""
    calm = {int(step): loss for step, loss in row["calm_losses"]}
    found = {int(step): loss for step, loss in row["losses"]}
    if set(calm) != set(found) or not calm:
        return f"{len(found)} steps, {len(calm)} without a cap"
    apart = {step: abs(found[step] - calm[step]) / abs(calm[step]) for step in calm}
    worst = max(apart, key=lambda step: apart[step])
    other = any(path.startswith(("method", "data")) for path, _, _ in row["changes"])
    return f"{apart[worst]:.2%} at step {worst}{' (4-bit against bf16)' if other else ''}"
