"""Hold the predicted memory against what is free."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ftspec.compiler.draft import Draft
from ftspec.compiler.memory.corrections import corrected
from ftspec.compiler.memory.ledger import context_words
from ftspec.compiler.memory.predict import quick
from ftspec.compiler.memory.work import DTYPE_BYTES
from ftspec.compiler.passes.choose_batch import free_bytes
from ftspec.compiler.plan import MemoryPlan
from ftspec.compiler.rules import memory_unknown


def judge_memory(draft: Draft) -> Draft:
    """Add the verdict, and a finding where there is none."""
    memory = corrected(_memory(draft), draft.hardware.known, draft["method.type"])
    draft = draft.put("memory", memory, "predicted")
    return draft.found(*memory_unknown.find((memory, draft.model)))


def _memory(draft: Draft) -> MemoryPlan:
    free, ledger, gpu = free_bytes(draft), draft.ledger, draft.hardware.gpu
    ranks = max(
        1,
        draft["train.rows_a_step"]
        // (draft["train.batch_size"] * draft["train.gradient_accumulation"]),
    )
    if ledger is None:
        return MemoryPlan(
            verdict="unknown",
            phase=None,
            peak_bytes=None,
            low_bytes=None,
            high_bytes=None,
            allocated_peak_bytes=None,
            reserved_peak_bytes=None,
            moment=None,
            expected_peak_bytes=None,
            context_bytes=None,
            free_bytes=free,
            parts={},
            formulas={},
            phases={},
            ranks=ranks,
            host_bytes=None,
            disk_bytes=None,
            method="none",
            note=_why_unknown(draft),
        )
    spread = len(draft.hardware.cards) if draft["hardware.split_model"] else 1
    context = ledger.context_bytes
    # Layers are spread over the cards; the context and the loss lie whole on one.
    loss = max((part.bytes for part in ledger.parts if part.name == "logits"), default=0)
    whole = loss - loss // spread

    def on_one(size: int) -> int:
        return (size - context) // spread + context + whole

    low, high, peak = (on_one(n) for n in (ledger.low_bytes, ledger.high_bytes, ledger.peak_bytes))
    verdict = "fits" if high <= free else "no" if low > free else "tight"
    return MemoryPlan(
        verdict=verdict,
        phase=ledger.peak_phase,
        peak_bytes=peak,
        low_bytes=low,
        high_bytes=high,
        allocated_peak_bytes=on_one(ledger.allocated_peak_bytes + context) - context,
        reserved_peak_bytes=peak - context if ledger.reserved_bytes else None,
        moment=ledger.moment or None,
        expected_peak_bytes=context + round((peak - context) * _expected_share(draft)),
        context_bytes=ledger.context_bytes,
        free_bytes=free,
        parts={part.name: part.bytes // spread for part in ledger.parts},
        formulas={part.name: part.formula for part in ledger.parts},
        phases={name: size // spread + whole for name, size in ledger.phases.items()},
        ranks=ranks,
        host_bytes=_host_bytes(draft),
        disk_bytes=_disk_bytes(draft),
        method=ledger.method,
        note=context_words(gpu) if gpu else "host memory, since the CPU trains",
    )


def _expected_share(draft: Draft) -> float:
    """Return the expected batch's peak as a share of the worst batch's.

    The longest of m rows lies, on average, near the quantile m / (m + 1) of their lengths.
    """
    work, lengths = draft.work, draft.lengths
    if work is None or lengths is None or work.packed:
        return 1.0
    usual = min(work.length, lengths.quantile(work.batch / (work.batch + 1)))
    ask = partial(quick, draft.model.config, gpu=draft.hardware.gpu)
    worst, expected = ask(work), ask(replace(work, length=max(2, usual), counted=0))
    if worst is None or expected is None:
        return 1.0
    return min(1.0, expected.allocated_peak_bytes / worst.allocated_peak_bytes)


def _why_unknown(draft: Draft) -> str:
    shape = draft.model.shape
    if draft.tracer is not None and draft.tracer.failed:
        return draft.tracer.failed
    if shape is None:
        return draft.model.note or "the model's shape is not known"
    if draft.model.parameters is None and shape.family is not None:
        return draft.model.note or "its parameters cannot be counted"
    if shape.experts:
        return f"mixture-of-experts models such as {shape.architecture} are not covered yet"
    return f"the architecture {shape.architecture} is not covered yet"


def _host_bytes(draft: Draft) -> int | None:
    """One copy of the base passes through host memory when it is loaded."""
    parameters = draft.model.parameters
    return parameters * DTYPE_BYTES[draft["model.dtype"]] if parameters else None


def _disk_bytes(draft: Draft) -> int | None:
    """Checkpoints (trained weights and optimizer state) times the limit, and the final weights."""
    work = draft.work
    if work is None:
        return None
    weights = work.trainable * work.trainable_bytes_each
    limit: int = draft["train.save_limit"]
    return 3 * weights * (limit + 1) + weights
