"""Judge the runs of the closed loop, as loop_faults.py says, and write LOOP.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import loop_faults as faults

from ftspec.spec.parse import parse

Row = dict[str, Any]
Rows = Mapping[tuple[str, int, str], Row]
ARMS = ("fault", "twin", "repaired", "again", "random", "tenth")


@dataclass(frozen=True)
class Case:
    """A fault beside its healthy twin."""

    kind: str
    variation: int
    fault: Row
    twin: Row

    def of(self, rows: Rows, arm: str) -> Row | None:
        """Return the run of an arm, or None where it was not made."""
        return rows.get((self.kind, self.variation, arm))

    @property
    def counts(self) -> bool:
        """Say whether the fault did harm, or counts whatever it did."""
        return counts(self.kind, self.fault, self.twin)

    @property
    def drawn(self) -> bool:
        """Say whether the random draw names the bug."""
        return faults.drawn(self.kind, self.variation) == faults.WORDS[self.kind]

    def well(self, row: Row | None) -> bool:
        """Say whether a run is as good as the twin."""
        return well(self.kind, row, self.twin)

    def found(self, rows: Rows) -> bool:
        """Say whether a doctor finds the fault."""
        row = self.of(rows, "fault")
        return row is not None and found(self.kind, row)

    def named(self, rows: Rows) -> bool:
        """Say whether a doctor names the bug first."""
        row = self.of(rows, "fault")
        return row is not None and named(self.kind, row)

    def repaired(self, rows: Rows) -> bool:
        """Say whether the treated run is as good as the twin, after one treatment or two."""
        return any(self.well(self.of(rows, arm)) for arm in ("repaired", "again"))

    def elsewhere(self, known: Rows, rows: Rows) -> bool | None:
        """Say what a doctor's patch repairs, from a run of the same spec; None without one."""
        row = self.of(rows, "fault")
        if row is None or not row["patched"]:
            return False
        wanted = _read(row["patched"])
        broken = faults.injected(self.kind, self.variation)[1]
        for (kind, variation, arm), run in known.items():
            twin, fault = faults.injected(kind, variation)
            made = twin if arm == "twin" else fault
            alike = (made.domain, made.rows, made.bug) == (broken.domain, broken.rows, broken.bug)
            if alike and _read(run["spec"]) == wanted:
                return self.well(run)
        return None


@cache
def _read(spec: str) -> Any:
    return parse(spec, "ftspec.yaml").spec


def report(rows: Sequence[Row], anew: Sequence[Row] = ()) -> str:
    """Return LOOP.md; `anew` is what other doctors say of the same logs."""
    known = {(row["kind"], row["variation"], row["arm"]): row for row in rows}
    others: dict[str, dict[tuple[str, int, str], Row]] = {}
    for row in anew:
        of = others.setdefault(row["doctor"], {})
        of[(row["kind"], row["variation"], row["arm"])] = row
    lines = [
        "# The closed loop: a fault injected, found, treated, and run again",
        "",
        "Made by `loop.py report`. README.md says how, and what weakens it; loop_faults.py, what "
        "is judged, and how.",
        "",
        _runs(known),
        "",
        *_mended(known, others),
        *_named(known, others),
        "## Healthy twins",
        "",
        *_twins(known, others),
        "",
        "## Each run",
        "",
        *_each(known),
    ]
    return "\n".join(lines) + "\n"


def _runs(known: Rows) -> str:
    """Say how many runs were made of each arm, and how many are missing."""
    arms = {arm: sum(key[2] == arm for key in known) for arm in ARMS}
    made = ", ".join(f"{number} *{arm}*" for arm, number in arms.items())
    spec_kinds = [kind for kind in faults.FOUND if kind not in faults.NAMED]
    missing = len(spec_kinds) * len(_variations(known)) - arms["tenth"]
    return (
        f"{len(known)} runs: {made}. {missing} runs of *tenth* (rate / 10) were not made: it is "
        "counted over those that were. *Again* is run where a repaired "
        "run still has a warning. A random draw that is words, or changes no key, is not run and "
        "repairs nothing."
    )


def _mended(known: Rows, others: Mapping[str, Rows]) -> list[str]:
    """Return the table of the faults that a patch can mend, and the pooled numbers in words."""
    names = ["counted", "found", "repaired", "random", "rate / 10", "did no harm"]
    names += [f"found, {name}" for name in others]
    lines = ["## Faults that a patch can mend", "", "| kind | " + " | ".join(names) + " |"]
    lines.append("| --- " * (len(names) + 1) + "|")
    pooled: list[Case] = []
    for kind in faults.FOUND:
        if kind in faults.NAMED:
            continue
        cases = _cases(kind, known)
        counted = [case for case in cases if case.counts]
        pooled += counted
        harmless = str(len(cases) - len(counted))
        lines.append(_row(f"`{kind}`", counted, known, others, harmless))
    lines.append(_row("**all**", pooled, known, others, ""))
    beside = [case for case in pooled if case.of(known, "tenth")]
    on_those = _share(sum(case.repaired(known) for case in beside), len(beside))
    lines += [
        "",
        f"Targets: 90 % found, 85 % repaired. Where rate / 10 was run, the doctor repaired "
        f"{on_those}. In *repaired* the prescriptions are those of *found*; what another doctor's "
        "would give is known only where the same spec was run already:",
        "",
        *(_elsewhere(name, pooled, known, rows) for name, rows in others.items()),
        "",
    ]
    return lines


def _row(
    name: str, cases: Sequence[Case], known: Rows, others: Mapping[str, Rows], harmless: str
) -> str:
    size = len(cases)
    tenths = [case for case in cases if case.of(known, "tenth")]
    cells = [
        _share(sum(case.found(known) for case in cases), size),
        _share(sum(case.repaired(known) for case in cases), size),
        _share(sum(case.well(case.of(known, "random")) for case in cases), size),
        _share(sum(case.well(case.of(known, "tenth")) for case in tenths), len(tenths)),
        harmless,
    ]
    cells += [_share(sum(case.found(rows) for case in cases), size) for rows in others.values()]
    return f"| {name} | {size} | {' | '.join(cells)} |"


def _elsewhere(name: str, cases: Sequence[Case], known: Rows, rows: Rows) -> str:
    """Say what another doctor's patches would repair, from runs of the same specs."""
    results = [case.elsewhere(known, rows) for case in cases]
    counts = [sum(result is value for result in results) for value in (True, False, None)]
    return f"- {name}: {counts[0]} repaired, {counts[1]} not, {counts[2]} not run, of {len(cases)}"


def _named(known: Rows, others: Mapping[str, Rows]) -> list[str]:
    """Return the table of the bugs that no patch of a spec can mend."""
    names = ["counted", "found", "named first", "random"]
    names += [*(f"named first, {name}" for name in others), "what is right"]
    lines = ["## Bugs of the program: is the right thing named?", ""]
    lines += ["| kind | " + " | ".join(names) + " |", "| --- " * (len(names) + 1) + "|"]
    pooled: list[Case] = []
    for kind in (*faults.NAMED, ""):
        cases = _cases(kind, known) if kind else pooled
        pooled += cases if kind else []
        counts = [sum(case.found(known) for case in cases)]
        counts += [sum(case.named(known) for case in cases), sum(case.drawn for case in cases)]
        counts += [sum(case.named(rows) for case in cases) for rows in others.values()]
        cells = [str(len(cases)), *(_share(count, len(cases)) for count in counts)]
        title, right = (f"`{kind}`", faults.RIGHT[kind]) if kind else ("**all**", "")
        lines.append(f"| {title} | {' | '.join(cells)} | {right} |")
    return [*lines, ""]


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


def _cases(kind: str, known: Rows) -> list[Case]:
    pairs = _pairs(kind, known)
    return [Case(kind, variation, fault, twin) for variation, fault, twin in pairs]


def _pairs(kind: str, known: Rows) -> list[tuple[int, Row, Row]]:
    pairs = []
    for variation in _variations(known):
        fault, twin = known.get((kind, variation, "fault")), twin_of(kind, variation, known)
        if fault and twin:
            pairs.append((variation, fault, twin))
    return pairs


def _variations(known: Rows) -> list[int]:
    return sorted({variation for _, variation, _ in known})


def named(kind: str, fault: Row) -> bool:
    """Say whether the first finding names the bug, and its first answer changes no key."""
    first = next(iter(loud(fault)), None)
    if first is None or first["name"] not in faults.NAMED[kind] or not first["prescriptions"]:
        return False
    return not first["prescriptions"][0]["patch"]


def _twins(known: Rows, others: Mapping[str, Rows]) -> list[str]:
    lines = []
    for name, rows in {"as counted": known, **others}.items():
        twins = [(key, row) for key, row in rows.items() if key[2] == "twin"]
        alarms = [(key, row) for key, row in twins if loud(row)]
        lines.append(f"- {name}: false alarms on {_share(len(alarms), len(twins))}")
        for (kind, variation, _), row in alarms:
            names = ", ".join(item["name"] for item in loud(row))
            lines.append(f"    - `{kind}` {variation}: {names}")
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
