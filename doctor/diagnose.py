"""The doctor's one entry: paths in, a diagnosis out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ftspec.doctor.curves.find import find_logs, spec_beside
from ftspec.doctor.curves.log import Log, UnreadableLogError
from ftspec.doctor.curves.readers import read
from ftspec.doctor.curves.rules.judge import find_all
from ftspec.doctor.curves.series import Run
from ftspec.doctor.prescribe import prescribe
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.model import Spec
from ftspec.spec.parse import parse

__all__ = ["Diagnosed", "Diagnosis", "SpecText", "UnreadableLogError", "diagnose", "diagnose_log"]

STANDARD_INPUT = Path("-")


@dataclass(frozen=True, slots=True)
class SpecText:
    """The spec that prescriptions patch; `spec` is None where the text has errors."""

    name: str
    text: str
    spec: Spec | None
    flat_form: bool

    @classmethod
    def of(cls, name: str, text: str) -> SpecText:
        """Parse a spec's text."""
        parsed = parse(text, name)
        return cls(name, text, parsed.spec, parsed.flat)


@dataclass(frozen=True, slots=True)
class Diagnosed:
    """One run with all that was found in it, and the spec that it came from where known."""

    run: Run
    findings: tuple[Finding, ...]
    spec: SpecText | None = None

    @property
    def healthy(self) -> bool:
        """Say whether no finding is a warning or worse."""
        return not any(finding.severity.at_least(Severity.WARNING) for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All runs that were asked about."""

    runs: tuple[Diagnosed, ...]

    @property
    def findings(self) -> list[Finding]:
        """The findings of all runs."""
        return [finding for diagnosed in self.runs for finding in diagnosed.findings]


def diagnose(paths: Sequence[Path], spec_text: tuple[str, str] | None = None) -> Diagnosis:
    """Diagnose the logs that the paths mean; `-` is standard input.

    `spec_text` is the name and text of the spec that all of them came from; where it is None,
    the `ftspec.yaml` of the project folder that a log lies in is taken. Raises
    UnreadableLogError for a path that does not exist, cannot be opened or holds no log.
    """
    given = SpecText.of(*spec_text) if spec_text else None
    runs = []
    for path in paths:
        if path == STANDARD_INPUT:
            log = Log.of_stream("standard input", sys.stdin.buffer)
            runs.append(diagnose_log(log, given))
            continue
        for file in find_logs(path):
            runs.append(diagnose_log(Log.of_path(file), given or _spec_of(file)))
    return Diagnosis(tuple(runs))


def diagnose_log(log: Log, spec: SpecText | None = None) -> Diagnosed:
    """Diagnose one log."""
    run = read(log)
    found = list(find_all(run))
    typed = spec.spec if spec else None
    flat_form = spec.flat_form if spec else False
    order = list(Severity)
    answered = prescribe(found, run, typed, flat_form)
    ranked = sorted(answered, key=lambda item: (order.index(item.severity), item.code))
    return Diagnosed(run, tuple(ranked), spec)


def _spec_of(log: Path) -> SpecText | None:
    path = spec_beside(log)
    if path is None:
        return None
    try:
        return SpecText.of(str(path), path.read_bytes().decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError):
        return None
