"""Show a diagnosis: to a person as text with curves and diffs, to a program as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ftspec.doctor.chart import draw
from ftspec.doctor.curves.readers import READERS
from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.words import at, count, figure
from ftspec.doctor.diagnose import Diagnosed, Diagnosis, SpecText
from ftspec.spec.edit import CannotEditError, apply, diff, literal
from ftspec.spec.finding import Finding, Prescription
from ftspec.spec.render import Paint, no_paint, printable, render

SCHEMA_VERSION = 1
ENDS = ("out-of-memory", "stop", "end")


def as_text(
    diagnosis: Diagnosis, paint: Paint = no_paint, width: int = 80, unicode: bool = True
) -> str:
    """Return the report of all runs as text; `unicode` false keeps it to ASCII where drawn."""
    parts = ["\n".join(_run(item, paint, width, unicode)) for item in diagnosis.runs]
    return "\n\n".join(parts) + "\n"


def as_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return the diagnosis in the form that programs read (`CONTRACT`, 6)."""
    return {
        "schema_version": SCHEMA_VERSION,
        "runs": [
            {
                "source": item.run.source,
                "format": item.run.format,
                "records": len(item.run.train),
                "eval_records": len(item.run.evals),
                "healthy": item.healthy,
                "findings": [_finite(finding.as_json()) for finding in item.findings],
                "problems": [{"line": p.line, "text": p.text} for p in item.run.problems],
            }
            for item in diagnosis.runs
        ],
    }


def _finite(value: Any) -> Any:
    """Replace what JSON has no word for: NaN and infinities become null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _run(item: Diagnosed, paint: Paint, width: int, unicode: bool) -> list[str]:
    run = item.run
    lines = [f"{paint(printable(run.source), 'bold')}  {_format(run.format)}", *_facts(run)]
    drawn = draw(run, item.findings, width, unicode)
    lines += ["", *drawn] if drawn else []
    for finding in item.findings:
        lines += ["", render(finding, paint=paint)]
    if item.healthy:
        lines += ["", paint(_healthy(item), "bold green")]
    return lines + _prescriptions(item, paint)


def _format(name: str) -> str:
    return next((reader.title for reader in READERS if reader.format == name), name)


def _facts(run: Run) -> list[str]:
    lines = []
    if run.train:
        judged = len(run.judged)
        spread = f", {at(run.judged, 0)} to {at(run.judged, judged - 1).removeprefix('step ')}"
        again = f" ({judged:,} judged: the rest was repeated)" if judged < len(run.train) else ""
        lines.append(f"  {count(len(run.train), 'training record')}{spread}{again}")
    lines += [_held_out(run)] if run.train or run.evals else []
    ended = [event for event in run.events if event.kind in ENDS]
    if ended and ended[-1].kind != "end":
        step = f" at step {ended[-1].step:.0f}" if ended[-1].step is not None else ""
        text = f": {printable(ended[-1].text)[:160]}" if ended[-1].text else ""
        lines.append(f"  ended by {ended[-1].kind}{step}{text}")
    for problem in run.problems:
        where = f"line {problem.line}: " if problem.line else ""
        lines.append(f"  not read: {where}{printable(problem.text)}")
    return lines


def _held_out(run: Run) -> str:
    held_out = run.held_out
    losses = [record.loss for record in held_out if record.loss is not None]
    if not losses:
        return "  no evaluations: whether it overfits cannot be told"
    names = sorted({record.name for record in run.evals if record.name})
    sets = f" of {len(names)} sets" if len(names) > 1 else ""
    best = min(range(len(losses)), key=losses.__getitem__)
    said = f"  {count(len(losses), 'evaluation')}{sets}, held-out loss "
    if len(losses) == 1:
        return f"{said}{figure(losses[0])}"
    lowest = f", lowest {figure(losses[best])} at {at(held_out, best)}"
    return f"{said}{figure(losses[0])} to {figure(losses[-1])}{lowest}"


def _healthy(item: Diagnosed) -> str:
    short = any(finding.name in ("too-short", "rl-run") for finding in item.findings)
    return "nothing wrong in what could be judged" if short else "nothing wrong was found"


def _prescriptions(item: Diagnosed, paint: Paint) -> list[str]:
    lines: list[str] = []
    patched = False
    for finding in item.findings:
        for place, remedy in enumerate(finding.prescriptions):
            lines += ["", *_prescription(finding, place, remedy, item.spec, paint)]
            patched = patched or bool(remedy.patch)
    if item.spec and item.spec.spec is None:
        name = item.spec.name
        lines += ["", f"`{name}` has errors and is not patched: ftspec check {name}"]
    elif patched and item.spec:
        lines += ["", f"next: change {item.spec.name} as shown first, then run it anew"]
    elif patched:
        lines += ["", "next: make the first change in your own configuration, then run it anew"]
    return lines


def _prescription(
    finding: Finding, place: int, remedy: Prescription, spec: SpecText | None, paint: Paint
) -> list[str]:
    number = f" {place + 1}" if len(finding.prescriptions) > 1 else ""
    sure = f"confidence {finding.confidence:.0%}".replace("%", " %")
    head = f"prescription{number} for `{finding.name}` ({sure})"
    if place:
        head = f"{number.strip()}, if that is not enough"
    lines = [f"{paint(head, 'bold')}: {remedy.reason}"]
    if place == 0:
        lines += [f"    expect: {remedy.expect}"] if remedy.expect else []
        lines += [f"    refuted by: {remedy.refuted_by}"] if remedy.refuted_by else []
    patch = _patch(remedy, spec)
    if patch and place:
        patch = [line for line in patch if not line.startswith(("--- ", "+++ "))]
    return lines + [_painted(line, paint) for line in patch]


def _patch(remedy: Prescription, spec: SpecText | None) -> list[str]:
    """Return the patch as a diff of the spec; where that cannot be, as paths and values."""
    values = [f"    {e.path}: {_value(e.before)} -> {literal(e.after)}" for e in remedy.patch]
    if spec is None or spec.spec is None or not remedy.patch:
        return values
    try:
        return diff(spec.text, apply(spec.text, remedy.patch), spec.name).splitlines()
    except CannotEditError as error:
        return [*values, f"    ({error})"]


def _value(value: Any) -> str:
    return "open" if value is None else literal(value)


def _painted(line: str, paint: Paint) -> str:
    style = {"+": "green", "-": "red"}.get(line[:1])
    return paint(line, style) if style else line
