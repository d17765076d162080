"""The doctor's one entry: paths in, a diagnosis out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ftspec.doctor.curves.log import Log
from ftspec.doctor.curves.readers import read
from ftspec.doctor.curves.rules.judge import find_all
from ftspec.doctor.curves.series import Planned, Run
from ftspec.doctor.prescribe import prescribe
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.model import Spec
from ftspec.spec.parse import parse

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


def diagnose_log(log: Log, spec: SpecText | None = None) -> Diagnosed:
    """Diagnose one log."""
    return diagnose_run(read(log), spec)


def diagnose_run(run: Run, spec: SpecText | None = None) -> Diagnosed:
    """Diagnose a run that was read already."""
    typed = spec.spec if spec else None
    run = replace(run, planned=planned(run, typed)) if typed else run
    found = list(find_all(run))
    flat_form = spec.flat_form if spec else False
    order = list(Severity)
    answered = prescribe(found, run, typed, flat_form)
    ranked = sorted(answered, key=lambda item: (order.index(item.severity), item.code))
    return Diagnosed(run, tuple(ranked), spec)


def planned(run: Run, spec: Spec) -> Planned:
    """Return what the log says of the plan; where it is silent, what the spec says outright.

    Not the learning rate: what was in force is read from the log, and a spec may have been edited
    since the run.
    """
    said = run.planned or Planned()
    train = spec.train
    micro = said.micro_batch or train.batch_size
    steps = said.accumulation or train.gradient_accumulation
    product = micro * steps if micro and steps else None
    return replace(
        said,
        micro_batch=micro,
        accumulation=steps,
        effective_batch=said.effective_batch or train.effective_batch or product,
        scheduler=said.scheduler or train.scheduler,
    )
