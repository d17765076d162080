"""The guide's ladder against running out of memory, by the phase that it happened in."""

from __future__ import annotations

from ftspec.doctor.prescriptions.case import Case, advice
from ftspec.spec.finding import Finding, Prescription

SHORTEST = 256  # tokens: below, `ftspec check` with the data should say what is lost


def ladder(finding: Finding, case: Case) -> list[Prescription]:
    """Return the rungs that are left for the phase, cheapest first."""
    match finding.evidence.get("phase"):
        case "load":
            rungs = [_quantize(case), advice("a smaller model, or more cards", "it loads")]
        case "evaluate" | "generate":
            rungs = [_evaluation_batch(case), _shorter(case)]
        case "save" | "merge":
            reason = (
                "merge and save on the CPU: weights in float32 take 4 bytes each of host memory"
            )
            rungs = [advice(reason, "the same files")]
        case _:
            rungs = [_checkpointing(case), _smaller(case), _quantize(case), _shorter(case)]
    return [rung for rung in rungs if rung is not None]


def _checkpointing(case: Case) -> Prescription | None:
    now = case.written("train.activation_checkpointing")
    if now is True or case.method == "prefix":  # a prefix's keys do not survive it
        return None
    return Prescription(
        (case.edit("train.activation_checkpointing", True),),
        "keep no activations, compute them again: about a third slower",
        "the peak falls by most of what the layers' activations take",
        "it runs out at loading or in the optimizer's first step: then weights are what is large",
    )


def _smaller(case: Case) -> Prescription | None:
    micro = case.written("train.batch_size") or case.planned.micro_batch
    steps = case.written("train.gradient_accumulation") or case.planned.accumulation
    reason = "half the micro-batch, twice the accumulation: the effective batch stays"
    expect = "activations take half of what they took"
    if micro is None:
        return advice(reason, expect)
    if micro < 2:
        return None
    half = micro // 2
    patch = [case.edit("train.batch_size", half, case.planned.micro_batch)]
    if steps:
        to = -(-steps * micro // half)
        patch.append(case.edit("train.gradient_accumulation", to, case.planned.accumulation))
    return Prescription(tuple(patch), reason, expect, "it runs out with a micro-batch of 1 too")


def _quantize(case: Case) -> Prescription | None:
    if case.method == "qlora":
        return None
    reason = "weights in 4-bit: a quarter of what bfloat16 takes"
    expect = "loading takes about 0.55 bytes a parameter"
    if case.method == "lora":
        return Prescription((case.edit("method.type", "qlora"),), reason, expect)
    return advice(f"{reason} (`method: qlora`)", expect)


def _shorter(case: Case) -> Prescription | None:
    now = case.written("data.max_length")
    reason = "shorter rows: activations and logits fall with their length"
    if now is None:
        return advice(f"{reason} (`data.max_length`)")
    if now <= SHORTEST:
        return None
    edit = case.edit("data.max_length", max(SHORTEST, now // 2))
    return Prescription((edit,), reason, "about half of the activations", "answers are cut off")


def _evaluation_batch(case: Case) -> Prescription | None:
    now = case.written("train.eval_batch_size")
    if now == 1:
        return None
    to = max(1, now // 2) if now else 1
    return Prescription(
        (case.edit("train.eval_batch_size", to),),
        "a smaller evaluation batch: logits of all its tokens are held at once",
        "evaluations pass; they take a little longer",
    )
