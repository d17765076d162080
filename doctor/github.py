"""A diagnosis as workflow commands: GitHub shows each finding at a line of a file.

Source: GitHub, "Workflow commands for GitHub Actions": data escape `%`, CR and LF; properties
escape `:` and `,` as well.
"""

from __future__ import annotations

from ftspec.doctor.diagnose import Diagnosed, Diagnosis
from ftspec.doctor.patches.config import patchable, patched
from ftspec.spec.edit import CannotEditError, literal
from ftspec.spec.finding import Finding, Prescription, Severity
from ftspec.spec.render import printable

LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def as_github(diagnosis: Diagnosis) -> str:
    """Return one command a line and finding."""
    lines = [_command(item, finding) for item in diagnosis.runs for finding in item.findings]
    return "".join(f"{line}\n" for line in lines)


def _command(item: Diagnosed, finding: Finding) -> str:
    file, line = place_of(item, finding)
    said = [printable(finding.title)]
    if finding.found:
        said.append(printable(finding.found))
    remedy = next(iter(finding.prescriptions), None)
    if remedy is not None:
        said.append(f"prescription: {_in_short(remedy)}")
    if file != item.run.source:
        said.append(f"log: {printable(item.run.source)}")
    title = f"{finding.code} {finding.name}"
    properties = f"file={_property(file)},line={line},title={_property(title)}"
    return f"::{LEVELS[finding.severity]} {properties}::{_data(chr(10).join(said))}"


def place_of(item: Diagnosed, finding: Finding) -> tuple[str, int]:
    """Return where to look: the line that the first prescription changes, else the log's.

    An annotation is of use where the change is to be made; a log seldom lies in the repository.
    """
    remedy = next(iter(finding.prescriptions), None)
    target = item.spec
    if remedy is not None and remedy.patch and target is not None and patchable(target):
        try:
            after = patched(target, remedy.patch, item.run).text
        except CannotEditError:
            after = target.text
        if after != target.text:
            return target.name, _first_change(target.text, after)
    line = finding.evidence.get("line")
    return item.run.source, line if isinstance(line, int) and line > 0 else 1


def _first_change(before: str, after: str) -> int:
    old, new = before.splitlines(), after.splitlines()
    same = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), len(old))
    return min(same + 1, max(1, len(old)))


def _in_short(remedy: Prescription) -> str:
    edits = ", ".join(f"{edit.path} = {literal(edit.after)}" for edit in remedy.patch)
    return f"{edits} ({remedy.reason})" if edits else remedy.reason


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
