"""Decide how long the run is in steps, and how often it logs, evaluates and saves."""

from __future__ import annotations

import math

from ftspec.compiler.draft import Draft

GUIDE_SAVE = 100


def choose_rhythm(draft: Draft) -> Draft:
    """Decide the counts of steps and the intervals between evaluations and checkpoints."""
    an_epoch = _steps_an_epoch(draft)
    total = draft["train.max_steps"]
    if total is None and an_epoch is not None:
        total = max(1, math.ceil(an_epoch * draft["train.epochs"]))
    draft = draft.put("train.steps_an_epoch", an_epoch, "rows over the effective batch")
    counted = "as `max_steps` says" if draft["train.max_steps"] else "steps an epoch x epochs"
    draft = draft.put("train.total_steps", total, counted)
    save = min(GUIDE_SAVE, total) if total is not None else GUIDE_SAVE
    reason = "the guide's" if save == GUIDE_SAVE else "the run's length"
    asked = draft.spec.train
    if asked.save_steps is None and asked.eval_steps is not None and save % asked.eval_steps:
        save = max(asked.eval_steps, save - save % asked.eval_steps)
        reason = "a multiple of `eval_steps`"
    wanted = max(1, round((total or 10 * save) / 10))
    if asked.save_steps is None and asked.eval_steps is None:
        nearest = _nearest_divisor(save, wanted)
        if not wanted / 2 <= nearest <= 2 * wanted:  # 97 steps have no divisor near ten
            save, reason = math.ceil(save / wanted) * wanted, "the guide's, to divide evenly"
    draft = draft.decide("train.save_steps", save, reason)
    nearest = _nearest_divisor(draft["train.save_steps"], wanted)
    draft = draft.decide("train.eval_steps", nearest, "a divisor of `save_steps` near a tenth")
    return _scheduler_options(draft, total)


def _nearest_divisor(number: int, wanted: int) -> int:
    divisors = [size for size in range(1, number + 1) if number % size == 0]
    return min(divisors, key=lambda size: abs(size - wanted))


def _steps_an_epoch(draft: Draft) -> int | None:
    """transformers 5.23 trainer.py: batches a rank, divided by the accumulation, rounded up."""
    rows: int | None = draft["data.train_rows"]
    if rows is None:
        return None
    if draft["data.packing"]:
        if draft.lengths is None:
            return None
        longest: int = draft["data.max_length"]
        rows = max(1, math.ceil(rows * draft.lengths.mean / longest))
    micro: int = draft["train.batch_size"]
    accumulation: int = draft["train.gradient_accumulation"]
    a_step: int = draft["train.rows_a_step"]
    ranks = max(1, a_step // (micro * accumulation))
    return math.ceil(math.ceil(rows / (micro * ranks)) / accumulation)


def _scheduler_options(draft: Draft, total: int | None) -> Draft:
    """What transformers asks for beside a scheduler's name (optimization.py)."""
    path, scheduler = "train.scheduler_options", draft["train.scheduler"]
    if scheduler == "cosine_with_min_lr":
        return draft.put(path, {"min_lr_rate": 0.1}, "ends at a tenth of the peak")
    if scheduler == "warmup_stable_decay":
        decay = max(1, round(0.1 * (total or 1000)))
        return draft.put(path, {"num_decay_steps": decay}, "the last tenth of the run")
    return draft.put(path, {}, "none needed")
