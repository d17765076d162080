"""Show what a check of data found: to a person as text, to a program as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ftspec.doctor.data.check import Checked
from ftspec.spec.finding import Finding, Severity, json_value
from ftspec.spec.render import Paint, no_paint, printable, render

SCHEMA_VERSION = 1
SHOWN = 3  # samples of a finding
LIFTED = ("file", "row", "rows", "count")


def as_json(checked: Checked) -> dict[str, Any]:
    """Return a check in the form that programs read (`CONTRACT`, 6)."""
    counts: dict[str, int] = {}
    for finding in checked.findings:
        counts[finding.name] = counts.get(finding.name, 0) + int(finding.evidence["count"])
    return {
        "schema_version": SCHEMA_VERSION,
        "rows": checked.rows,
        "format": checked.format,
        "formats": dict(checked.formats),
        "files": list(checked.files),
        "held_out_rows": checked.held_out_rows,
        "findings": [_finding(finding) for finding in checked.findings],
        "counts": counts,
        "indicators": json_value(dict(checked.indicators)),
        "not_looked_for": list(checked.lacking),
    }


def _finding(finding: Finding) -> dict[str, Any]:
    document = finding.as_json()
    evidence = document["evidence"]
    document["file"] = evidence.pop("file", document["file"])
    document["row"] = evidence.pop("row", None)
    document["rows"] = evidence.pop("rows", [])
    document["count"] = evidence.pop("count", 0)
    return document


def as_text(checked: Checked, fixes: Mapping[str, str], paint: Paint = no_paint) -> str:
    """Return a check as text; `fixes` says of each rule what `clean` does to its rows."""
    lines = [_head(checked, paint)]
    for finding in checked.findings:
        lines += ["", *_lines(finding, fixes, paint)]
    lines += ["", *_indicators(checked.indicators)] if checked.indicators else []
    for words in checked.lacking:
        lines += ["", f"not looked for: {words}"]
    if not any(f.severity.at_least(Severity.WARNING) for f in checked.findings):
        lines += ["", paint("nothing wrong was found", "bold green")]
    return "\n".join(lines) + "\n"


def _head(checked: Checked, paint: Paint) -> str:
    names = ", ".join(printable(name) for name in checked.files[:3])
    more = f" and {len(checked.files) - 3} more" if len(checked.files) > 3 else ""
    formats = sorted(checked.formats.items(), key=lambda item: -item[1])
    shown = ", ".join(name if len(formats) == 1 else f"{name} {count:,}" for name, count in formats)
    unused = checked.rows - checked.usable
    said = f"{checked.rows:,} row{'s' if checked.rows != 1 else ''}, {shown or 'no known format'}"
    said += f", {unused:,} of them not usable" if unused else ""
    said += f"; against {checked.held_out_rows:,} held-out rows" if checked.held_out_rows else ""
    return f"{paint(names + more, 'bold')}  {said}"


def _lines(finding: Finding, fixes: Mapping[str, str], paint: Paint) -> list[str]:
    """Return a finding with its rows, its samples, and what cleaning would do."""
    first, _, rest = render(finding, paint=paint).partition("\n")
    evidence = finding.evidence
    lines = [first]
    if not finding.place and evidence.get("file"):
        lines.append(f" {paint('-->', 'blue')} {printable(str(evidence['file']))}")
    body = rest.split("\n") if rest else []
    hints = [line for line in body if "help:" in line or line.strip().startswith("=      ")]
    lines += [line for line in body if line not in hints]
    bar = paint("|", "blue")
    for sample in evidence.get("samples", ())[:SHOWN]:
        text = printable(sample.get("text", ""))
        lines.append(f"  {bar} row {sample['row']:,}: {text or printable(sample['words'])}")
        if sample.get("repaired"):
            lines.append(f"  {bar} {paint('becomes', 'green')}: {printable(sample['repaired'])}")
    rows = evidence.get("rows", ())
    if len(rows) > 1:
        listed = ", ".join(f"{row:,}" for row in rows[:10])
        lines.append(f"  {bar} rows {listed}{' …' if len(rows) > 10 else ''}")
    lines += hints
    fix = fixes.get(finding.name)
    if fix and rows:
        number = f"{len(rows):,} row{'s' if len(rows) != 1 else ''}"
        lines.append(f"  {paint('=', 'blue')} {paint('clean:', 'bold green')} {fix} ({number})")
    return lines


def _indicators(indicators: Mapping[str, Any]) -> list[str]:
    lines = []
    for file, measured in indicators.items():
        lines.append(f"{printable(file)}, in tokens")
        lines += [
            f"  {name.replace('_', ' ')}: {_figure(value)}" for name, value in measured.items()
        ]
    return lines


def _figure(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.3g}" if value < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
