"""`diagnose --apply`: make the prescribed changes in the spec or config that a run came from."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ftspec.cli.failure import CannotReadError, Failure
from ftspec.cli.paint import painter
from ftspec.cli.rewrite import edit, replace_file
from ftspec.doctor.diagnose import Diagnosed, Diagnosis
from ftspec.doctor.patches.config import ConfigText, patchable, patched
from ftspec.spec.edit import CannotEditError, diff
from ftspec.spec.finding import Edit, Finding, Severity

ALL = "all"


def apply_prescriptions(diagnosis: Diagnosis, name: str) -> None:
    """Make the first change that each finding asks for, or the one of the finding named.

    `name` is a finding's name or code, or ALL: all that are a warning or worse. Raises Failure
    where there is no file to change, or more than one.
    """
    item = _the_one(diagnosis)
    target = item.spec
    if target is None:
        raise CannotReadError(
            "there is no spec or config beside the log to change",
            "name it: --spec FILE, or --config FILE for another trainer's",
        )
    if not patchable(target):
        raise CannotReadError(f"`{target.name}` has errors", f"ftspec check {target.name}")
    edits = _edits(item, name)
    if not edits:
        print(f"{target.name}: nothing to change", file=sys.stderr)
    elif isinstance(target, ConfigText):
        _edit_config(target, edits, item)
    else:
        edit(Path(target.name), edits)


def _the_one(diagnosis: Diagnosis) -> Diagnosed:
    """Return the run to treat: changes for two runs in one file would contradict each other."""
    asking = [item for item in diagnosis.runs if not item.healthy]
    if len(asking) == 1:
        return asking[0]
    if len(diagnosis.runs) == 1:
        return diagnosis.runs[0]
    if not asking:
        return diagnosis.runs[0]
    raise Failure(
        f"--apply treats one run, and {len(asking)} of these {len(diagnosis.runs)} need treatment",
        "name one log",
    )


def _edits(item: Diagnosed, name: str) -> list[Edit]:
    if name == ALL:
        chosen = [f for f in item.findings if f.severity.at_least(Severity.WARNING)]
        for finding in item.findings:
            if finding not in chosen and any(r.patch for r in finding.prescriptions):
                print(_by_name(finding), file=sys.stderr)
        return [made for finding in chosen for made in _first(finding)]
    found = [f for f in item.findings if name in (f.name, f.code)]
    if not found:
        names = ", ".join(f.name for f in item.findings) or "none"
        raise Failure(f"`{name}` was not found in this log", f"found: {names}")
    return [made for finding in found for made in _first(finding, named=True)]


def _first(finding: Finding, named: bool = False) -> tuple[Edit, ...]:
    """Return the edits of a finding's first prescription; of one named, of the first with any."""
    remedies = finding.prescriptions
    if remedies and not remedies[0].patch:
        print(f"`{finding.name}`: no key for `{remedies[0].reason}`", file=sys.stderr)
    elif not remedies:
        print(f"`{finding.name}`: {finding.help or 'nothing to change'}", file=sys.stderr)
    if named:
        return next((remedy.patch for remedy in remedies if remedy.patch), ())
    return remedies[0].patch if remedies else ()


def _by_name(finding: Finding) -> str:
    return f"`{finding.name}` is information; --apply {finding.name} makes its change"


def _edit_config(target: ConfigText, edits: Sequence[Edit], item: Diagnosed) -> None:
    """Change a config; the file is replaced whole, or not at all."""
    path = Path(target.name)
    try:
        after = patched(target, edits, item.run)
    except CannotEditError as error:
        raise Failure(f"`{path}` was not changed: {error}") from None
    for note in after.notes:
        print(f"{path}: {note}", file=sys.stderr)
    if after.text == target.text:
        print(f"{path}: nothing to change", file=sys.stderr)
        return
    paint = painter(sys.stderr)
    for line in diff(target.text, after.text, target.name).splitlines():
        style = {"+": "green", "-": "red"}.get(line[:1])
        print(paint(line, style) if style else line, file=sys.stderr)
    try:
        replace_file(path, after.text.encode("utf-8"))
    except OSError as error:
        raise Failure(f"`{path}` cannot be written: {error.strerror}") from None
