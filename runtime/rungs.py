"""The next rung after a run has run out of memory: constants of train.py, or other code.

The order is the guide's (DESIGN.md): activation checkpointing, a smaller micro-batch with more
accumulation; then, with leave alone, a base in 4 bits, and shorter rows. In evaluation it is the
evaluation batch that shrinks, and training stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SHORTER = 0.75  # of the length, a rung; the peak of a micro-batch of one row goes with it
LENGTH_STEP = 64  # tokens
SHORTEST = 128  # tokens
QUANTIZED_METHODS = {"lora": "qlora", "prefix": "prefix", "prompt": "prompt"}

# A constant of train.py, and the spec's key for it.
PATHS = {
    "micro_batch": "train.batch_size",
    "accumulation": "train.gradient_accumulation",
    "activation_checkpointing": "train.activation_checkpointing",
    "eval_batch": "train.eval_batch_size",
    "max_length": "data.max_length",
    "learning_rate": "train.learning_rate",
}

Constants = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rung:
    """What the next attempt changes: constants, or (`recompile`) the code itself."""

    name: str
    constants: Constants
    reason: str
    recompile: bool = False


def next_rung(
    phase: str, now: Constants, plan: Mapping[str, Any], allowed: Sequence[str], *, host: bool
) -> Rung | None:
    """Return the next rung, or None where nothing that is allowed helps.

    phase: where memory ran out. now: the constants that were in force. host: it was host memory
    that ran out, which on a machine with cards nothing here makes smaller.
    """
    on_card = (plan.get("hardware") or {}).get("device") == "cuda"
    if host and on_card:
        return None
    if phase == "evaluate":
        smaller = _halved(now.get("eval_batch"))
        found = _evaluation(smaller) if smaller else None
    elif phase == "load":
        found = None  # weights alone are there: only fewer bits for them help
    else:
        found = _checkpointing(now, plan) or _micro_batch(now)
    return found or _quantize(plan, allowed, on_card) or _shorten(phase, now, allowed)


def _evaluation(batch: int) -> Rung:
    return Rung("evaluation", {"eval_batch": batch}, "a smaller batch in evaluation alone")


def _checkpointing(now: Constants, plan: Mapping[str, Any]) -> Rung | None:
    method = (plan.get("method") or {}).get("type")
    if method == "prefix" or now.get("activation_checkpointing") is not False:
        return None
    reason = "activations are computed twice, not kept"
    return Rung("checkpointing", {"activation_checkpointing": True}, reason)


def _micro_batch(now: Constants) -> Rung | None:
    """The largest divisor of the rows a step that is at most half of the micro-batch."""
    micro, accumulation = now.get("micro_batch"), now.get("accumulation")
    if not isinstance(micro, int) or not isinstance(accumulation, int) or micro < 2:
        return None
    rows = micro * accumulation
    smaller = max(size for size in range(1, micro // 2 + 1) if rows % size == 0)
    constants = {"micro_batch": smaller, "accumulation": rows // smaller}
    return Rung("batch", constants, f"a smaller micro-batch; {rows} rows a step stay")


def _quantize(plan: Mapping[str, Any], allowed: Sequence[str], on_card: bool) -> Rung | None:
    method = plan.get("method") or {}
    if "quantize" not in allowed or method.get("quantization") != "none" or not on_card:
        return None
    if method.get("type") not in QUANTIZED_METHODS:
        return None  # what full fine-tuning has learnt cannot go on as adapters
    return Rung("quantize", {}, "the frozen base in 4 bits", recompile=True)


def _shorten(phase: str, now: Constants, allowed: Sequence[str]) -> Rung | None:
    length = now.get("max_length")
    if "shorten" not in allowed or not isinstance(length, int) or phase == "load":
        return None
    shorter = int(length * SHORTER) // LENGTH_STEP * LENGTH_STEP
    if shorter < SHORTEST:
        return None
    return Rung("shorten", {"max_length": shorter}, f"rows are cut at {shorter} tokens")


def _halved(batch: object) -> int | None:
    return batch // 2 if isinstance(batch, int) and batch >= 2 else None


def in_force(plan: Mapping[str, Any], overridden: Constants, start: Constants | None) -> Constants:
    """Return the constants of an attempt: as it said itself, else as it was told, else planned."""
    train, data = plan.get("train") or {}, plan.get("data") or {}
    planned = {
        "micro_batch": train.get("batch_size"),
        "accumulation": train.get("gradient_accumulation"),
        "activation_checkpointing": train.get("activation_checkpointing"),
        "eval_batch": train.get("eval_batch_size"),
        "max_length": data.get("max_length"),
        "learning_rate": train.get("learning_rate"),
    }
    said = {key: start[key] for key in PATHS if start and start.get(key) is not None}
    return {**planned, **overridden, **said}


def changes(rung: Rung, now: Constants) -> list[dict[str, Any]]:
    """Return what a rung changes, in the form that programs read."""
    if rung.recompile:
        change = {"path": "method.quantization", "asked": "none", "planned": "nf4"}
        return [{**change, "rule": rung.name, "reason": rung.reason}]
    return [
        {
            "path": PATHS[key],
            "asked": now.get(key),
            "planned": value,
            "rule": rung.name,
            "reason": rung.reason,
        }
        for key, value in rung.constants.items()
    ]


def arguments(constants: Constants) -> list[str]:
    """Return constants as train.py's options."""
    found = []
    for name, value in constants.items():
        option = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            found.append(option if value else option.replace("--", "--no-", 1))
        else:
            found += [option, str(value)]
    return found
