"""Keep a run from overfitting: in the guide's order, where its own numbers say that it would."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from ftspec.compiler.draft import Draft
from ftspec.compiler.passes.choose_training import LARGE, RATES
from ftspec.compiler.plan import Change, Why
from ftspec.compiler.rules import few_examples, overfits_as_planned
from ftspec.spec.model import EarlyStopping

# The first repeat of a row still teaches: held-out loss of LoRA on 1,000 and on 50,000 rows turned
# between the first and the third pass (Raschka, Practical tips for finetuning LLMs using LoRA,
# 2023; the guide: 3 -> 1-2 epochs).
PASSES = 2.0
# Before so many steps at the method's usual rate, held-out loss still falls, however often rows
# were seen: 200 rows x 3 epochs are 39 steps, and one epoch in place of three made it worse
# (3.50 in place of 2.81).
STEPS = 100
MANY = 4.0  # passes over the data from which a written number of epochs is worth a word
FEWER = 3.0  # epochs, the guide's


@dataclass(frozen=True, slots=True)
class Exposure:
    """How much a run sees of its data.

    passes: over the distinct rows. steps: optimizer steps, counted at the method's usual rate.
    """

    passes: float
    steps: float
    rows: int

    @property
    def overfits(self) -> bool:
        """Whether held-out loss will have turned before the end."""
        return self.passes > PASSES and self.steps > STEPS


def regularize(draft: Draft) -> Draft:
    """Set what is open, and prescribe what is written."""
    draft = draft.found(*few_examples.find(draft.data.rows if draft.data else None))
    seen = exposure(draft)
    if draft.spec.tune.overfitting == "off" or seen is None or not seen.overfits:
        return draft
    why = f"{seen.passes:.3g} passes over {seen.rows:,} rows would overfit"
    train, method = draft.spec.train, draft.spec.method
    held_out = draft["data.eval_from"] != "none"
    if train.epochs is None and train.max_steps is None and not held_out:
        draft = draft.put("train.epochs", PASSES, f"{why}, and nothing is held out to tell")
    if draft["method.dropout"] is not None and method.dropout is None and seen.passes >= MANY:
        draft = draft.put("method.dropout", 0.1, why)
    if train.early_stopping is None and held_out:
        stop = f"{why}: it stops by itself and keeps the best checkpoint"
        draft = draft.put("train.early_stopping", EarlyStopping(), stop)
    return _written(draft, seen, why)


def exposure(draft: Draft) -> Exposure | None:
    """Return how much a run sees of its data; None where the rows are not known."""
    rows: int | None = draft["data.train_rows"]
    if not rows or draft.data is None:
        return None
    batch: int = draft["train.effective_batch"]
    every, epochs = draft["train.max_steps"], draft["train.epochs"]
    steps = every if every is not None else math.ceil(rows / batch) * epochs
    passes = steps * batch / rows if every is not None else epochs
    kind = draft["method.type"]
    usual = RATES[kind][1 if (draft.model.parameters or 0) > LARGE else 0]
    distinct = draft.data.distinct or draft.data.rows or rows
    repeated = (draft.data.rows or rows) / distinct
    return Exposure(passes * repeated, steps * draft["train.learning_rate"] / usual, rows)


def _written(draft: Draft, seen: Exposure, why: str) -> Draft:
    """Prescribe what would keep written numbers from overfitting, or change them with leave."""
    if seen.passes < MANY:
        return draft
    wanted = _wanted(draft, seen)
    if not wanted:
        return draft
    tune = draft.spec.tune
    if "regularize" not in tune.allow or tune.overfitting != "auto":
        return draft.found(*overfits_as_planned.find((seen.passes, seen.rows, wanted)))
    changes, reasons = [], {}
    for path, (asked, planned) in wanted.items():
        reasons[path] = Why(by="plan", reason=why)
        changes.append(
            Change(path=path, asked=asked, planned=planned, rule="overfitting", reason=why)
        )
        draft = draft.put(path, planned, why)
    return replace(
        draft,
        changes=(*draft.changes, *changes),
        why=MappingProxyType({**draft.why, **reasons}),
    )


def _wanted(draft: Draft, seen: Exposure) -> dict[str, tuple[Any, Any]]:
    """Return the guide's five as path -> (written, better), in its order, of what is written."""
    train, method = draft.spec.train, draft.spec.method
    wanted: dict[str, tuple[Any, Any]] = {}
    fewest = max(1, math.ceil(STEPS * draft["train.effective_batch"] / seen.rows))
    epochs = max(FEWER, float(fewest))
    if train.epochs is not None and train.epochs > epochs:
        wanted["train.epochs"] = (train.epochs, epochs)
    if method.dropout is not None and method.dropout < 0.1:
        wanted["method.dropout"] = (method.dropout, 0.1)
    usual = RATES[draft["method.type"]][1 if (draft.model.parameters or 0) > LARGE else 0]
    if train.learning_rate is not None and train.learning_rate > 2 * usual:
        wanted["train.learning_rate"] = (train.learning_rate, usual)
    if train.early_stopping is False and draft["data.eval_from"] != "none":
        wanted["train.early_stopping"] = (False, True)
    return wanted
