"""Show a diagnosis: to a person as text with curves and diffs, to a program as JSON."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ftspec.doctor.chart import draw
from ftspec.doctor.curves.readers import READERS
from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.words import at, count, figure
from ftspec.doctor.diagnose import Diagnosed, Diagnosis, SpecText
from ftspec.doctor.patches.config import ConfigText, patchable, patched
from ftspec.spec.edit import CannotEditError, diff, literal
from ftspec.spec.finding import Finding, Prescription
from ftspec.spec.render import COLOURS, Paint, no_paint, printable

if TYPE_CHECKING:
    from ftspec.doctor.compare import Comparison

SCHEMA_VERSION = 1
ENDS = ("out-of-memory", "stop", "end")


def as_text(
    diagnosis: Diagnosis, paint: Paint = no_paint, width: int = 80, unicode: bool = True
) -> str:
    """Return the report of all runs as text; `unicode` false keeps it to ASCII where drawn."""
    parts = ["\n".join(run_lines(item, paint, width, unicode)) for item in diagnosis.runs]
    return "\n\n".join(parts) + "\n"


def as_json(diagnosis: Diagnosis, comparison: Comparison | None = None) -> dict[str, Any]:
    """Return the diagnosis in the form that programs read (`CONTRACT`, 6)."""
    document = {
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
                "target": _target(item.spec),
            }
            for item in diagnosis.runs
        ],
    }
    if comparison is not None:
        document["comparison"] = _finite(comparison.as_json())
    return document


def _target(spec: SpecText | None) -> dict[str, str] | None:
    """Return the file that the prescriptions are patches of."""
    if spec is None or not patchable(spec):
        return None
    of = spec.trainer.name if isinstance(spec, ConfigText) else "ftspec"
    return {"file": spec.name, "trainer": of}


def _finite(value: Any) -> Any:
    """Replace what JSON has no word for: NaN and infinities become null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def run_lines(item: Diagnosed, paint: Paint, width: int, unicode: bool) -> list[str]:
    """Return one run's report as lines."""
    item = item if unicode else _in_ascii(item)
    run = item.run
    source, title = printable(run.source), format_title(run.format)
    name = paint(source, "bold")  # a path stays whole, to be copied
    lines = [f"{name}  {title}"]
    if len(source) + len(title) + 2 > width:
        lines = [name, f"  {title}"]
    lines += [wrapped for line in facts(run) for wrapped in _wrapped(line, width, "    ")]
    drawn = draw(run, item.findings, width, unicode, paint)
    lines += ["", *drawn] if drawn else []
    for finding in item.findings:
        lines += ["", *finding_lines(finding, paint, width)]
    if item.healthy:
        lines += ["", paint(healthy_words(item), "bold green")]
    return lines + _prescriptions(item, paint, width)


def _in_ascii(item: Diagnosed) -> Diagnosed:
    """Write our own words without the characters that a plain terminal lacks."""
    plain = [
        replace(f, title=_plain(f.title), found=_plain(f.found), help=_plain(f.help))
        for f in item.findings
    ]
    return replace(item, findings=tuple(plain))


def _plain(text: str) -> str:
    return text.replace("\u2026", "...").replace("\u2192", "->")


def finding_lines(finding: Finding, paint: Paint, width: int) -> list[str]:
    """Return a finding about a curve as lines of at most `width` characters."""
    head = f"{finding.severity.value}[{finding.code}]"
    first, *rest = _wrapped(f"{head}: {printable(finding.title)}", width, "  ")
    painted = paint(head, COLOURS[finding.severity])
    lines = [painted + ": " + paint(first[len(head) + 2 :], "bold")]
    lines += [paint(line, "bold") for line in rest]
    mark = paint("=", "blue")
    if finding.found:
        first, *rest = _wrapped(printable(finding.found), width - 4, "")
        lines += [f"  {mark} {first}", *(f"    {line}" for line in rest)]
    label = paint("help:", "bold green")
    for line in finding.help.splitlines():
        for part in _wrapped(printable(line), width - 10, ""):
            lines.append(f"  {mark} {label} {part}")
            label = "     "
    return lines


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    """Break a line between words; the lines after the first are indented."""
    return textwrap.wrap(
        text,
        width,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    ) or [""]


def format_title(name: str) -> str:
    """Return the words for a log's format."""
    return next((reader.title for reader in READERS if reader.format == name), name)


def facts(run: Run) -> list[str]:
    """Return what was read of a run, and what was not, a line each."""
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
        label = "note" if problem.is_note else "not read"
        lines.append(f"  {label}: {where}{printable(problem.text)}")
    return lines


def _held_out(run: Run) -> str:
    held_out = run.held_out
    losses = [record.loss for record in held_out if record.loss is not None]
    if not losses:
        return "  no evaluations"
    names = sorted({record.name for record in run.evals if record.name})
    sets = f" of {len(names)} sets" if len(names) > 1 else ""
    best = min(range(len(losses)), key=losses.__getitem__)
    said = f"  {count(len(losses), 'evaluation')}{sets}, held-out loss "
    if len(losses) == 1:
        return f"{said}{figure(losses[0])}"
    lowest = f", lowest {figure(losses[best])} at {at(held_out, best)}"
    return f"{said}{figure(losses[0])} to {figure(losses[-1])}{lowest}"


def healthy_words(item: Diagnosed) -> str:
    """Return the verdict on a run in which nothing wrong was found."""
    short = any(finding.name in ("too-short", "rl-run") for finding in item.findings)
    return "nothing wrong in what could be judged" if short else "nothing wrong was found"


def _prescriptions(item: Diagnosed, paint: Paint, width: int) -> list[str]:
    lines: list[str] = []
    changes = False
    for finding in item.findings:
        for place, remedy in enumerate(finding.prescriptions):
            lines += ["", *_prescription(finding, place, remedy, item, paint, width)]
            changes = changes or bool(remedy.patch)
    if item.spec and not patchable(item.spec):
        name = item.spec.name
        lines += ["", f"`{name}` has errors and is not patched: ftspec check {name}"]
    elif changes and item.spec:
        lines += ["", f"next: change {item.spec.name} as shown first, then run it anew"]
    elif changes:
        said = "next: make the first change in your own configuration, then run it anew"
        lines += ["", *_wrapped(said, width, "  ")]
    return lines


def _prescription(
    finding: Finding, place: int, remedy: Prescription, item: Diagnosed, paint: Paint, width: int
) -> list[str]:
    number = f" {place + 1}" if len(finding.prescriptions) > 1 else ""
    sure = f"confidence {finding.confidence:.0%}".replace("%", " %")
    head = f"prescription{number} for `{finding.name}` ({sure})"
    if place:
        head = f"{number.strip()}, if that is not enough"
    first, *rest = _wrapped(f"{head}: {printable(remedy.reason)}", width, "    ")
    if len(first) > len(head):
        first = paint(head, "bold") + first[len(head) :]
    lines = [first, *rest]
    said = [("expect", remedy.expect), ("refuted by", remedy.refuted_by)] if place == 0 else []
    for label, text in said:
        if text:
            lines += _wrapped(f"    {label}: {printable(text)}", width, "      ")
    shown, notes = patch_lines(remedy, item)
    if any(before.patch for before in finding.prescriptions[:place]):  # the same file again
        shown = [line for line in shown if not line.startswith(("--- ", "+++ "))]
    lines += [_painted(printable(line), paint) for line in shown]
    for note in notes:
        lines += _wrapped(f"    ({printable(note)})", width, "     ")
    return lines


def patch_lines(remedy: Prescription, item: Diagnosed) -> tuple[list[str], list[str]]:
    """Return the patch as a diff of the spec or config, and what it could not say.

    Where there is no such file, or it has no place for the edits, it is paths and values.
    """
    values = [f"    {e.path}: {_value(e.before)} -> {literal(e.after)}" for e in remedy.patch]
    target = item.spec
    if target is None or not remedy.patch or not patchable(target):
        return values, []
    try:
        after = patched(target, remedy.patch, item.run)
    except CannotEditError as error:
        return values, [str(error)]
    lines = diff(target.text, after.text, target.name).splitlines()
    return lines or values, list(after.notes)


def _value(value: Any) -> str:
    return "open" if value is None else literal(value)


def _painted(line: str, paint: Paint) -> str:
    style = {"+": "green", "-": "red"}.get(line[:1])
    return paint(line, style) if style else line
