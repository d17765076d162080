"""All rules on one run; of a long one, most of them on a curve made shorter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ftspec.doctor.curves.rules import (
    CURVE_RULES,
    grad_nan,
    interrupted,
    nan,
    no_loss,
    oom,
    resume_discontinuity,
    several_runs,
    spikes,
    zero_loss,
)
from ftspec.doctor.curves.series import Run, thin
from ftspec.spec.finding import Finding
from ftspec.spec.rule import Rule

LONG = 20_000  # judged records: neighbours are merged by their medians above it

# One record decides, or the places of records in the file do: these look at all of them.
WHOLE: tuple[Rule[Run], ...] = (
    nan.RULE,
    spikes.RULE,
    zero_loss.RULE,
    no_loss.RULE,
    grad_nan.RULE,
    resume_discontinuity.RULE,
    several_runs.RULE,
    interrupted.RULE,
    oom.RULE,
)


def find_all(run: Run) -> Iterator[Finding]:
    """Yield what the rules find, in their order."""
    short = shortened(run)
    for rule in CURVE_RULES:
        yield from rule.find(run if rule in WHOLE else short)


def shortened(run: Run) -> Run:
    """Return the run with its judged records merged into at most LONG; a short one as it is."""
    if len(run.judged) <= LONG:
        return run
    records = thin(run.judged, LONG)
    events = tuple(replace(event, at=len(records)) for event in run.events if event.kind == "end")
    return replace(run, train=records, events=events)
