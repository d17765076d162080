"""What a run that went wrong is treated with, and where the run after it begins.

The doctor judges the run's own log. Of its findings those count that are a warning or worse and
that it is sure of, each with the first change that it prescribes: what `diagnose --apply` makes,
without what is uncertain.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ftspec.doctor.curves.log import UnreadableLogError
from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.statistics import rolling_median
from ftspec.doctor.diagnose import Diagnosed, SpecText
from ftspec.doctor.examine import examine
from ftspec.runtime.lock import only_one
from ftspec.runtime.progress import Progress
from ftspec.runtime.state import RunFolder, open_run, read_ledger, write_ledger
from ftspec.spec.edit import CannotEditError, apply
from ftspec.spec.finding import Edit, Finding, Severity

SURE = 0.8  # confidence: from here on a change is made without anybody being asked
# How a run ended that its curve can explain; a full disk or a crash is no matter of the spec.
TREATED = ("finished", "not-finite", "diverges")
# The supervisor's own ladder has answered it, with the run's measured memory.
ANSWERED = ("oom",)
RUNAWAY = ("nan", "diverges", "grad-nan", "grad-explosion", "lr-too-high", "spikes")
# Keys that change under way: weights, moments, schedule and place in the data stay what they are.
UNDER_WAY = ("train.learning_rate", "train.max_grad_norm")
# Keys that make held-out losses before and after another quantity.
OTHER_MEASURE = ("data.", "model.", "train.train_on_prompt", "train.label_smoothing")
# Rungs that a run has taken, and that the next one needs from its first step on.
MEMORY = ("micro_batch", "accumulation", "activation_checkpointing", "eval_batch", "max_length")
BATCH = ("train.batch_size", "train.gradient_accumulation", "train.effective_batch")
WINDOW = 5  # losses: the lowest point is that of their running median


@dataclass(frozen=True, slots=True)
class Treatment:
    """The findings to treat, the edits of the spec, and the checkpoint to go on from.

    `start` is None where the next run begins anew.
    """

    findings: tuple[Finding, ...]
    edits: tuple[Edit, ...]
    start: Path | None = None

    @property
    def names(self) -> list[str]:
        """The findings' names."""
        return [finding.name for finding in self.findings]

    @property
    def runaway(self) -> bool:
        """Whether all of them are of a loss or gradient that ran away."""
        return all(finding.name in RUNAWAY for finding in self.findings)


def treatable(run: RunFolder) -> bool:
    """Whether a run ended as its curve can explain: finished, not finite, or run away."""
    records = read_ledger(run)["attempts"]
    return run.finished or (bool(records) and records[-1].get("kind") in TREATED)


def treatment(run: RunFolder, spec: SpecText) -> Treatment | None:
    """Return what the doctor is sure would help a run; None where there is no such thing."""
    ledger = read_ledger(run)
    if spec.spec is None:
        return None
    try:
        seen = examine([run.events], spec).runs[0]
    except UnreadableLogError:
        return None
    chosen = list(_chosen(seen, spec.text))
    if not chosen:
        return None
    findings = tuple(finding for finding, _ in chosen)
    edits = tuple(edit for _, patch in chosen for edit in patch)
    anew = Treatment(findings, edits)
    return replace(anew, start=_good_checkpoint(run, seen.run)) if _goes_on(anew, ledger) else anew


def _chosen(seen: Diagnosed, text: str) -> Iterator[tuple[Finding, tuple[Edit, ...]]]:
    for finding in seen.findings:
        if finding.confidence < SURE or not finding.severity.at_least(Severity.WARNING):
            continue
        patch = finding.prescriptions[0].patch if finding.prescriptions else ()
        if patch and finding.name not in ANSWERED and _changes(text, patch):
            yield finding, patch


def _changes(text: str, patch: tuple[Edit, ...]) -> bool:
    """Whether a patch can be made in a spec's text, and changes it."""
    try:
        return apply(text, patch) != text
    except CannotEditError:
        return False


def _goes_on(chosen: Treatment, ledger: Mapping[str, Any]) -> bool:
    """Whether a checkpoint is worth going on from.

    Of a run that ran away, where the change lets it; one that ran away again after such a start
    begins anew.
    """
    earlier = ledger.get("healing") or [{}]
    return (
        chosen.runaway
        and all(edit.path in UNDER_WAY for edit in chosen.edits)
        and not earlier[-1].get("resumed_from")
    )


def _good_checkpoint(run: RunFolder, seen: Run) -> Path | None:
    """Return the newest checkpoint from before the loss was lowest, where it had fallen by then."""
    smooth = rolling_median(seen.losses, WINDOW)
    lowest = min(range(len(smooth)), key=smooth.__getitem__, default=0)
    step = seen.curve[lowest].step if smooth else None
    if step is None or smooth[lowest] >= smooth[0]:
        return None
    good = [folder for number, folder in run.checkpoints() if number <= step]
    return good[-1] if good else None


def told(found: Progress, chosen: Treatment, kept: Path) -> dict[str, Any]:
    """Return what the ledgers of later runs say of a run and its treatment.

    `kept` is the spec as it was.
    """
    step, loss = found.best_held_out or (None, None)
    records = found.ledger["attempts"]
    start = chosen.start
    return {
        "run": found.run.number,
        "state": found.state,
        "reason": records[-1].get("reason") if records else None,
        "findings": [
            {
                "code": item.code,
                "name": item.name,
                "title": item.title,
                "confidence": item.confidence,
            }
            for item in chosen.findings
        ],
        "changes": [edit.as_json() for edit in chosen.edits],
        "resumed_from": f"runs/{found.run.number}/{start.name}" if start else None,
        "best_held_out_loss": loss,
        "best_held_out_step": step,
        "spec_before": str(kept),
    }


def begin(
    project: Path, before: RunFolder, chosen: Treatment, entry: Mapping[str, Any]
) -> RunFolder:
    """Open the run that follows a treatment, with the checkpoint that it goes on from.

    The project is built anew by then. Raises AlreadyRunningError and OSError.
    """
    ledger = read_ledger(before)
    with only_one(project):
        fresh = open_run(project, new=True)
        if chosen.start is not None:
            target = fresh.path / chosen.start.name
            shutil.copytree(chosen.start, target, copy_function=_linked)
        carried = _carried(ledger, chosen)
        history = [*(ledger.get("healing") or []), dict(entry)]
        write_ledger(fresh, read_ledger(fresh) | {"healing": history, "constants": carried})
    return fresh


def _carried(ledger: Mapping[str, Any], chosen: Treatment) -> dict[str, Any]:
    """Return the rungs that were in force, unless the treatment is about the batch itself."""
    last = ledger["attempts"][-1] if ledger["attempts"] else {}
    if any(edit.path in BATCH for edit in chosen.edits):
        return {}
    constants = last.get("constants") or {}
    return {name: value for name, value in constants.items() if name in MEMORY}


def _linked(source: str, target: str) -> None:
    """Have a file in two places; checkpoints are never written into."""
    with contextlib.suppress(OSError):
        os.link(source, target)
        return
    shutil.copy2(source, target)


def comparable(entry: Mapping[str, Any]) -> bool:
    """Whether held-out losses before and after a treatment measure the same."""
    return not any(str(change.get("path")).startswith(OTHER_MEASURE) for change in entry["changes"])


def gain(entry: Mapping[str, Any], found: Progress) -> float | None:
    """Return by how much the best held-out loss is lower than before a treatment, in nats.

    None where one of the two is not known, or where they measure different things.
    """
    before, after = entry.get("best_held_out_loss"), found.best_held_out
    if before is None or after is None or not comparable(entry):
        return None
    return float(before) - after[1]
