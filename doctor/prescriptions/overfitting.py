"""The guide's five against overfitting, in its order; and what their opposite asks for."""

from __future__ import annotations

import math

from ftspec.doctor.curves.rules.low_loss import low_loss
from ftspec.doctor.curves.words import figure
from ftspec.doctor.prescriptions.case import Case, advice, rounded
from ftspec.spec.edit import number
from ftspec.spec.finding import Finding, Prescription

SLOWER = 2
LONGER = 1.5


def regularize(finding: Finding, case: Case) -> list[Prescription]:
    """Return the guide's five, in its order, without those that the spec rules out."""
    found = [
        fewer_epochs(case, finding),
        _more_dropout(case),
        advice(
            "more data: rows of the kinds that are rare now, not copies of those that are there",
            "the lowest held-out loss is lower, and comes later",
            "it is as low as before: then the new rows say nothing new",
        ),
        _slower(case),
        _stop_early(case),
    ]
    return [remedy for remedy in found if remedy is not None]


def by_heart(finding: Finding, case: Case) -> list[Prescription]:
    """Fewer epochs, up to where the loss came under what is too low; rows to hold out."""
    found = [_before_it_was_low(case), hold_out(case), _more_dropout(case)]
    return [remedy for remedy in found if remedy is not None]


def stop_sooner(finding: Finding, case: Case) -> list[Prescription]:
    """Early stopping; or as many epochs as the best evaluation had."""
    found = [_stop_early(case), fewer_epochs(case, finding)]
    return [remedy for remedy in found if remedy is not None]


def evaluate(finding: Finding, case: Case) -> list[Prescription]:
    """Rows to hold out, where the spec says that there shall be none."""
    remedy = hold_out(case)
    return [remedy] if remedy else []


def train_longer(finding: Finding, case: Case) -> list[Prescription]:
    """Half as long again."""
    expect = "a final loss that is lower, and held-out loss with it"
    refuted = "held-out loss turns up before the end"
    steps = case.written("train.max_steps")
    if steps is not None:
        edit = case.edit("train.max_steps", round(steps * LONGER))
        return [Prescription((edit,), "train half as long again", expect, refuted)]
    now = case.written("train.epochs") or case.planned.epochs
    if now is None:
        return [advice("train half as long again", expect, refuted)]
    edit = case.edit("train.epochs", epochs_for(now * LONGER), case.planned.epochs)
    return [Prescription((edit,), "train half as long again", expect, refuted)]


def hold_out(case: Case) -> Prescription | None:
    """Hold out the default share, where the spec asks for none."""
    if case.written("data.eval") != "none":
        return None
    edit = case.edit("data.eval", "5%")
    return Prescription((edit,), "hold 5 % of the rows out", "evaluations that show where it turns")


def fewer_epochs(case: Case, finding: Finding) -> Prescription | None:
    """Stop where held-out loss was lowest."""
    best, step = finding.evidence["best_epoch"], finding.evidence["best_step"]
    where = f"held-out loss was lowest, {figure(finding.evidence['best_loss'])},"
    expect = f"a final held-out loss near {figure(finding.evidence['best_loss'])}"
    refuted = "held-out loss is lowest before the end again, at the same number of steps"
    if case.written("train.max_steps") is not None and step:
        edit = case.edit("train.max_steps", int(step))
        return Prescription((edit,), f"stop where {where} at step {step:.0f}", expect, refuted)
    last = max((e.epoch for e in case.run.held_out if e.epoch is not None), default=None)
    now = case.written("train.epochs") or case.planned.epochs or last
    if best is None or now is None:
        return advice(f"train for fewer epochs: {where} at step {step}", expect, refuted)
    to = epochs_for(best)
    if to >= now:
        if last is None or last <= to:
            return None
        reason = f"the spec is down to {number(now)} epochs already: run it; {where} at {best:.2f}"
        return advice(reason, expect, refuted)
    edit = case.edit("train.epochs", to, case.planned.epochs or last)
    return Prescription((edit,), f"stop where {where} at epoch {best:.2f}", expect, refuted)


def epochs_for(best: float) -> float:
    """Return the epochs to train for, when the best evaluation was at epoch `best`.

    Halves from there up, tenths below a half: the learning rate's course is stretched over what
    is asked, so finer steps mean nothing.
    """
    grain = 0.5 if best > 0.45 else 0.1
    return max(grain, round(math.ceil((best - 0.05) / grain) * grain, 1))


def _before_it_was_low(case: Case) -> Prescription | None:
    seen = low_loss(case.run)
    now = case.written("train.epochs") or case.planned.epochs
    if seen is None:
        return None
    under = next((r.epoch for r in case.run.curve if (r.loss or 0.0) < seen.limit), None)
    reason = "train for fewer epochs: these rows are known by heart"
    if under is None:
        return advice(reason)
    to = max(1.0, math.floor(under))
    reason = f"stop before the loss is under {figure(seen.limit)}, as it was from epoch {under:.2g}"
    if now is None or to >= now:
        return advice(reason)
    edit = case.edit("train.epochs", to, case.planned.epochs)
    expect = "answers to rows that were held out that are no worse"
    return Prescription((edit,), reason, expect, "held-out loss is lower with more epochs")


def _more_dropout(case: Case) -> Prescription | None:
    if not case.adapter:
        return None
    now = case.written("method.dropout")
    to = 0.1 if now is None or now < 0.1 else 0.2
    if now is not None and now >= to:
        return None
    return Prescription(
        (case.edit("method.dropout", to),),
        f"more dropout: {to}",
        "held-out loss turns later",
        "it turns at the same step",
    )


def _slower(case: Case) -> Prescription | None:
    rate = case.rate
    if rate is None:
        return None
    to = rounded(rate / SLOWER)
    return Prescription(
        (case.edit("train.learning_rate", to, rate),),
        "halve the learning rate",
        "held-out loss turns later and lower",
        "its lowest point is no lower",
    )


def _stop_early(case: Case) -> Prescription | None:
    if case.written("train.early_stopping"):
        return None
    return Prescription(
        (case.edit("train.early_stopping", True),),
        "stop by itself once held-out loss has not improved for three evaluations",
        "the run ends near its lowest held-out loss and keeps that checkpoint",
        "it stops while held-out loss would still have fallen: then raise the patience",
    )
