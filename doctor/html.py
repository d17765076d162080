"""A diagnosis as one HTML page: curves, findings, and prescriptions to copy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from ftspec.doctor.chart import spans_of
from ftspec.doctor.compare import Comparison
from ftspec.doctor.curves.series import Run
from ftspec.doctor.diagnose import Diagnosed, Diagnosis
from ftspec.doctor.overlay import SEEDS, by_held_out, cells, letters, points_of, said, short_names
from ftspec.doctor.page import Section, page, section
from ftspec.doctor.patches.config import patchable
from ftspec.doctor.plot import Band, Panel, Plot, Series, plot
from ftspec.doctor.report import facts, format_title, healthy_words, patch_lines
from ftspec.spec.finding import Finding, Prescription

TABLE = ("run", "final", "best held-out", "at step", "steps", "tokens", "time", "noise", "findings")
LOWER_PANELS = (("learning rate", "learning_rate"), ("gradient norm", "grad_norm"))


@dataclass(frozen=True, slots=True)
class ShownRemedy:
    """A prescription as the page shows it: `lines` are those of a diff, or paths and values."""

    head: str
    remedy: Prescription
    lines: list[str]
    notes: list[str]
    anchor: str


@dataclass(frozen=True, slots=True)
class ShownFinding:
    """A finding with its place on the page."""

    anchor: str
    finding: Finding
    evidence: str
    remedies: list[ShownRemedy]


def as_html(diagnosis: Diagnosis, comparison: Comparison | None = None) -> str:
    """Return the page of a diagnosis, and of the comparison of its runs."""
    return page("Diagnosis", list(sections(diagnosis, comparison)), _lead(diagnosis))


def sections(diagnosis: Diagnosis, comparison: Comparison | None = None) -> Iterator[Section]:
    """Yield a section a run, and one of the comparison: parts for other pages as well."""
    if comparison is not None:
        yield comparison_section(comparison)
    for number, item in enumerate(diagnosis.runs, 1):
        yield run_section(item, number)


def run_section(item: Diagnosed, number: int = 1) -> Section:
    """Return one run: its curves, what was found, what to change."""
    name = f"run-{number}"
    shown = [
        _shown(item, finding, f"{name}-{place}") for place, finding in enumerate(item.findings)
    ]
    bad = sum(f.severity.value != "info" for f in item.findings)
    note = healthy_words(item) if item.healthy else f"{bad} finding{'s' if bad != 1 else ''}"
    target = item.spec.name if item.spec and patchable(item.spec) else None
    return section(
        name,
        item.run.source,
        "run.html.j2",
        note,
        format=format_title(item.run.format),
        facts=[line.strip() for line in facts(item.run)],
        plot=curves(item, name, shown),
        findings=shown,
        verdict=healthy_words(item) if item.healthy else None,
        target=target,
    )


def comparison_section(comparison: Comparison) -> Section:
    """Return the runs over each other, the table, and the verdicts."""
    names = letters(len(comparison.rows))
    held_out = by_held_out(comparison)
    series = [
        Series.of(f"{letter}: {name}", points_of(item.run, held_out), number, dots=False)
        for number, (letter, name, item) in enumerate(
            zip(names, short_names([r.name for r in comparison.rows]), comparison.runs, strict=True)
        )
    ]
    title = "held-out loss" if held_out else "training loss"
    return section(
        "comparison",
        "Comparison",
        "comparison.html.j2",
        f"{len(names)} runs",
        plot=plot("comparison", [Panel(title, tuple(series), tall=True)]),
        head=TABLE,
        rows=[
            (f"{letter}: {row.name}", *cells(letter, row)[1:], ", ".join(row.findings) or "none")
            for letter, row in zip(names, comparison.rows, strict=True)
        ],
        verdicts=[
            (said(v, names), [*v.reasons, *([SEEDS] if v.exceeds_noise else [])], v.method)
            for v in comparison.verdicts
        ],
    )


def curves(item: Diagnosed, name: str, shown: list[ShownFinding]) -> Plot | None:
    """Return the loss with held-out points and flagged spans; rate and gradient norm below."""
    run = item.run
    loss = [Series.of("loss", _points(run, "loss"))]
    if len(run.held_out):
        loss.append(Series.of("held-out loss", points_of(run, held_out=True), 1, dots=True))
    bands = tuple(
        Band(each.finding.name, each.finding.severity.value, each.anchor, tuple(spans))
        for each in shown
        if (spans := spans_of(each.finding))
    )
    panels = [Panel("loss", tuple(loss), bands, tall=True)]
    for number, (title, column) in enumerate(LOWER_PANELS, 2):
        panels.append(Panel(title, (Series.of(title, _points(run, column), number),)))
    stepped = any(step is not None for step in run.column("step"))
    return plot(name, panels, "step" if stepped else "record")


def _points(run: Run, name: str) -> list[tuple[float, float]]:
    pairs = enumerate(zip(run.column("step"), run.column(name), strict=True))
    return [
        (float(n) if step is None else step, value)
        for n, (step, value) in pairs
        if value is not None
    ]


def _shown(item: Diagnosed, finding: Finding, anchor: str) -> ShownFinding:
    remedies = []
    for place, remedy in enumerate(finding.prescriptions):
        lines, notes = patch_lines(remedy, item)
        head = "prescription" if place == 0 else f"{place + 1}, if that is not enough"
        remedies.append(ShownRemedy(head, remedy, lines, notes, f"{anchor}-patch-{place}"))
    evidence = json.dumps(finding.as_json()["evidence"], indent=1, ensure_ascii=False)
    return ShownFinding(anchor, finding, evidence, remedies)


def _lead(diagnosis: Diagnosis) -> str:
    sick = sum(not item.healthy for item in diagnosis.runs)
    runs = f"{len(diagnosis.runs)} log{'s' if len(diagnosis.runs) != 1 else ''}"
    return f"{runs}, {sick} with findings" if sick else f"{runs}, nothing wrong found"
