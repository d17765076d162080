"""Judge the runs of the closed loop, as loop_faults.py says, and write LOOP.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import loop_faults as faults

Row = dict[str, Any]
Rows = Mapping[tuple[str, int, str], Row]


def report(rows: Sequence[Row]) -> str:
    """Return LOOP.md."""
    known = {(row["kind"], row["variation"], row["arm"]): row for row in rows}
    spec_kinds = [kind for kind in faults.FOUND if kind not in faults.NAMED]
    lines = [
        "# The closed loop: a fault injected, found, treated, and run again",
        "",
        "Made by `loop.py report`. README.md says how; loop_faults.py, what is judged, and how.",
        "",
        "## Faults that a patch can mend",
        "",
        "| kind | counted | found | repaired | twice treated | random | rate / 10 | not counted |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    sums = [0] * 6
    for kind in spec_kinds:
        cells, harmless = _kind(kind, known)
        sums = [a + b for a, b in zip(sums, cells, strict=True)]
        lines.append(_line(f"`{kind}`", cells, str(harmless)))
    lines.append(_line("**all**", sums, ""))
    lines += ["", "## Bugs of the program: is the right thing named?", ""]
    lines += ["| kind | counted | found | named first | random | what is right |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    totals = [0] * 4
    for kind in faults.NAMED:
        cells = _bug(kind, known)
        totals = [a + b for a, b in zip(totals, cells, strict=True)]
        of = [str(cells[0]), *(f"{cell} of {cells[0]}" for cell in cells[1:])]
        lines.append(f"| `{kind}` | {' | '.join(of)} | {faults.RIGHT[kind]} |")
    of = [str(totals[0]), *(_share(cell, totals[0]) for cell in totals[1:])]
    lines.append(f"| **all** | {' | '.join(of)} | |")
    lines += ["", "## Healthy twins", "", *_twins(known)]
    lines += ["", "## Each run", "", *_each(known)]
    return "\n".join(lines) + "\n"


def _line(name: str, cells: Sequence[int], last: str) -> str:
    counted, rest = cells[0], cells[1:]
    return f"| {name} | {counted} | {' | '.join(_share(c, counted) for c in rest)} | {last} |"


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole}" + (f" ({100 * part / whole:.0f} %)" if whole > 10 else "")


def twin_of(kind: str, variation: int, known: Rows) -> Row | None:
    """Return the healthy twin of a fault; faults of one recipe share it."""
    job = faults.injected(kind, variation)[0].job()
    for other in faults.FOUND:
        row = known.get((other, variation, "twin"))
        if row and faults.injected(other, variation)[0].job() == job:
            return row
    return None


def counts(kind: str, fault: Row, twin: Row) -> bool:
    """Say whether a fault did harm, or counts whatever it did."""
    return kind in faults.HARM_IS_ELSEWHERE or not well(kind, fault, twin)


def well(kind: str, row: Row | None, twin: Row) -> bool:
    """Say whether a run's held-out loss is within the bound of its twin's."""
    if row is None or row["held_out"] is None or twin["held_out"] is None:
        return False
    sound = row["held_out"] <= faults.WITHIN * twin["held_out"]
    if kind != "loss-summed":
        return sound
    trained = row["trained"]
    return sound and trained is not None and trained < faults.TOO_LARGE * row["held_out"]


def found(kind: str, fault: Row) -> bool:
    """Say whether a warning or an error names the fault."""
    return any(item["name"] in faults.FOUND[kind] for item in loud(fault))


def loud(row: Row) -> list[Row]:
    """Return the warnings and errors of a run."""
    return [item for item in row["findings"] if item["severity"] != "info"]


def _pairs(kind: str, known: Rows) -> list[tuple[int, Row, Row]]:
    pairs = []
    for variation in range(faults.VARIATIONS):
        fault, twin = known.get((kind, variation, "fault")), twin_of(kind, variation, known)
        if fault and twin:
            pairs.append((variation, fault, twin))
    return pairs


def _kind(kind: str, known: Rows) -> tuple[list[int], int]:
    """Return counted, found, repaired, repaired after two, random, tenth; and not counted."""
    cells, harmless = [0] * 6, 0
    for variation, fault, twin in _pairs(kind, known):
        if not counts(kind, fault, twin):
            harmless += 1
            continue
        arms = {
            arm: well(kind, known.get((kind, variation, arm)), twin)
            for arm in ("repaired", "again", "random", "tenth")
        }
        twice = arms["repaired"] or arms["again"]
        values = (True, found(kind, fault), arms["repaired"], twice, arms["random"], arms["tenth"])
        cells = [cell + value for cell, value in zip(cells, values, strict=True)]
    return cells, harmless


def _bug(kind: str, known: Rows) -> list[int]:
    """Return counted, found, named first, and named by a random draw."""
    cells = [0] * 4
    for variation, fault, _ in _pairs(kind, known):
        drawn = faults.drawn(kind, variation) == faults.WORDS[kind]
        values = (True, found(kind, fault), named(kind, fault), drawn)
        cells = [cell + value for cell, value in zip(cells, values, strict=True)]
    return cells


def named(kind: str, fault: Row) -> bool:
    """Say whether the first finding names the bug, and its first answer changes no key."""
    first = next(iter(loud(fault)), None)
    if first is None or first["name"] not in faults.NAMED[kind] or not first["prescriptions"]:
        return False
    return not first["prescriptions"][0]["patch"]


def _twins(known: Rows) -> list[str]:
    twins = [(key, row) for key, row in known.items() if key[2] == "twin"]
    alarms = [(key, row) for key, row in twins if loud(row)]
    lines = [f"{len(twins)} runs, false alarms on {_share(len(alarms), len(twins))}."]
    for (kind, variation, _), row in alarms:
        names = ", ".join(item["name"] for item in loud(row))
        lines += ["", f"- `{kind}` {variation}: {names}"]
    return lines


def _each(known: Rows) -> list[str]:
    lines = ["| kind | n | twin | fault | found | first prescription | repaired | again | random "]
    lines[0] += "| rate / 10 |"
    lines.append("| --- " * 10 + "|")
    for kind in faults.FOUND:
        for variation, fault, twin in _pairs(kind, known):
            names = ", ".join(item["name"] for item in loud(fault)) or "-"
            arms = [_loss(known.get((kind, variation, arm))) for arm in ("repaired", "again")]
            name = faults.drawn(kind, variation)
            arms.append(f"{_loss(known.get((kind, variation, 'random')))} ({name})")
            arms.append(_loss(known.get((kind, variation, "tenth"))))
            cells = [f"`{kind}`", variation, _loss(twin), _loss(fault), names, _first(fault), *arms]
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    return lines


def _loss(row: Row | None) -> str:
    if row is None:
        return "-"
    if row["broken"]:
        return "broke"
    return "not finite" if row["held_out"] is None else f"{row['held_out']:.3f}"


def _first(fault: Row) -> str:
    for item in loud(fault):
        for remedy in item["prescriptions"]:
            patch = ", ".join(f"{path} {value}" for path, value in remedy["patch"].items())
            return patch or remedy["reason"][:60]
    return "-"
