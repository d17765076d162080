"""Decide micro-batch, accumulation, checkpointing: the fastest that fits, batch kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from ftspec.compiler.draft import Draft
from ftspec.compiler.facts.lengths import Lengths
from ftspec.compiler.memory.corrections import context_shift
from ftspec.compiler.memory.ledger import Ledger
from ftspec.compiler.memory.ledger import predict as closed_form
from ftspec.compiler.memory.predict import predict, quick
from ftspec.compiler.memory.work import Work
from ftspec.compiler.rules import effective_batch_lost
from ftspec.compiler.speed import job_of_work, step_seconds

GUIDE_MICRO, GUIDE_ACCUMULATION = 4, 4
RECOMPUTE = 4 / 3  # a second forward pass beside forward and backward
ROOMY = 0.75  # of what is free: under it, what the allocator reserves need not be replayed
ALIKE = 1.05  # predicted times that differ by less say nothing of which is faster
LESS_STORED = "float32 does not fit; in bfloat16 an Adam step of 1e-5 moves 2 % of the weights"
SATURATES = {"cuda": 1500, "cpu": 30}  # tokens of a micro-batch at which half the rate is reached


def choose_batch(draft: Draft) -> Draft:
    """Decide the batch; with explicit numbers, the effective batch follows from them."""
    ranks = _ranks(draft)
    draft = draft.put("hardware.split_model", False, "one card holds the base")
    if _split_model(draft):
        draft = draft.put("hardware.split_model", True, "one card cannot hold the base")
    if draft["hardware.split_model"]:
        ranks = 1
    examples = _examples_a_row(draft)
    rows = max(1, round(_effective(draft, ranks) / examples / ranks)) * ranks
    per_rank = rows // ranks
    work = _work(draft)
    if work is None or not draft.tuned:
        micro, checkpointing = _guide(draft, per_rank)
        reason = "the guide's"
    else:
        choice, fits = _fastest(draft, work, per_rank)
        if not fits and _may_store_less(draft):
            draft = draft.put("model.dtype", "bfloat16", LESS_STORED)
            work = _work(draft) or work
            choice, fits = _fastest(draft, work, per_rank)
        micro, checkpointing = choice
        reason = "the fastest that fits" if fits else "the smallest there is"
    accumulation = _accumulation(draft, rows, micro, ranks)
    product = micro * accumulation * ranks
    draft = draft.decide("train.batch_size", micro, reason)
    why = f"{micro} x {accumulation} x {ranks} rank{'s' if ranks > 1 else ''} = {product} a step"
    draft = draft.decide("train.gradient_accumulation", accumulation, why)
    draft = draft.put("train.rows_a_step", product, why)
    if examples > 1:
        why = f"{product} packed rows of {examples:.1f} examples on average"
    draft = draft.put("train.effective_batch", round(product * examples), why)
    asked = draft.spec.train.effective_batch if examples == 1 else None
    draft = draft.found(*effective_batch_lost.find((asked, product, ranks)))
    draft = draft.decide(
        "train.activation_checkpointing", checkpointing, _why(draft, checkpointing)
    )
    draft = _eval_batch(draft, work)
    if work is None:
        return draft
    work = _final(draft, work)
    ledger = predict(draft.model.config, work, draft.hardware.gpu, draft.tracer)
    return replace(draft, work=work, ledger=ledger)


def _examples_a_row(draft: Draft) -> float:
    """Mean examples in a packed row; 1 without packing, or where lengths are not known."""
    if not draft["data.packing"] or draft.lengths is None:
        return 1.0
    longest: int = draft["data.max_length"]
    return max(1.0, longest / draft.lengths.mean)


def _ranks(draft: Draft) -> int:
    hardware = draft.spec.hardware
    cards = hardware.count or max(1, len(draft.hardware.cards))
    return cards * (hardware.nodes or 1)


def _split_model(draft: Draft) -> bool:
    """Whether the base is larger than one of several cards, so that layers are spread over them."""
    shape, parameters = draft.model.shape, draft.model.parameters
    if shape is None or parameters is None or len(draft.hardware.cards) < 2:
        return False
    work = replace(_plain_work(draft, parameters), batch=1, length=1)
    base = next(part for part in closed_form(work, None).parts if part.name == "base_weights")
    return base.bytes > 0.9 * draft.hardware.free_bytes


def _effective(draft: Draft, ranks: int) -> int:
    train = draft.spec.train
    if train.effective_batch is not None:
        return train.effective_batch
    if train.batch_size and train.gradient_accumulation:
        written = train.batch_size * train.gradient_accumulation * ranks
        return round(written * _examples_a_row(draft))
    wanted = GUIDE_MICRO * GUIDE_ACCUMULATION
    rows = draft["data.train_rows"]
    if rows is not None and draft.tuned:
        while wanted > 1 and rows / wanted < 10:  # at least ten steps an epoch
            wanted //= 2
    per_rank = train.batch_size or train.gradient_accumulation or 1
    return math.ceil(max(wanted, per_rank * ranks) / ranks) * ranks


def _candidates(draft: Draft, per_rank: int) -> list[tuple[int, bool | str]]:
    """All (micro-batch, checkpointing) that keep the effective batch, the largest first."""
    train = draft.spec.train
    if train.batch_size is not None:
        micros = [train.batch_size]
    elif train.gradient_accumulation is not None:
        micros = [max(1, per_rank // train.gradient_accumulation)]
    else:
        micros = [size for size in range(per_rank, 0, -1) if per_rank % size == 0]
    options: tuple[bool | str, ...] = (False, True)
    if draft.spec.method.type == "prefix":
        options = (False,)
    elif train.activation_checkpointing is not None:
        options = (train.activation_checkpointing,)
    return [(micro, option) for micro in micros for option in options]


def _guide(draft: Draft, per_rank: int) -> tuple[int, bool | str]:
    train = draft.spec.train
    micro = train.batch_size
    if micro is None and train.gradient_accumulation is not None:
        micro = max(1, per_rank // train.gradient_accumulation)
    if micro is None:
        micro = next(size for size in (4, 3, 2, 1) if per_rank % size == 0)
    if train.activation_checkpointing is not None:
        return micro, train.activation_checkpointing
    return micro, draft.spec.method.type != "prefix" and draft.hardware.gpu is not None


def _accumulation(draft: Draft, effective: int, micro: int, ranks: int) -> int:
    asked = draft.spec.train.gradient_accumulation
    return asked if asked is not None else max(1, round(effective / (micro * ranks)))


def _cost(draft: Draft, work: Work, micro: int, checkpointing: bool | str) -> float:
    """Predicted seconds a token; on the CPU and with experts, a relative time."""
    longest, mean = draft["data.max_length"], float(draft["data.max_length"])
    padded = mean
    if draft.lengths is not None and not work.packed:
        # The longest of m rows lies, on average, near the quantile m / (m + 1).
        mean = min(draft.lengths.mean, longest)
        padded = max(mean, min(longest, draft.lengths.quantile(micro / (micro + 1))))
    gpu = draft.hardware.gpu
    if gpu is not None and not work.shape.experts:
        differ = draft.lengths is not None and work.padded  # else all are taken to be alike
        trial = replace(
            work, batch=micro, accumulation=1, checkpointing=checkpointing, padded=differ
        )
        return step_seconds(job_of_work(trial, padded), gpu, whole=False).likely / (micro * mean)
    device = "cuda" if gpu else "cpu"
    recompute = 1.0 if checkpointing is False else RECOMPUTE
    overhead = 1 + SATURATES[device] / (micro * padded)
    return recompute * overhead * padded / mean


def _fastest(draft: Draft, work: Work, per_rank: int) -> tuple[tuple[int, bool | str], bool]:
    """Return the cheapest (micro-batch, checkpointing) that fits, else the smallest; and which.

    Of those that cost about the same the largest micro-batch is taken: it launches least.
    """

    def fits(item: tuple[int, bool | str]) -> bool:
        share = _share(draft, work, per_rank, *item)
        return share <= ROOMY or (
            share <= 1 and _share(draft, work, per_rank, *item, ask=predict) <= 1
        )

    candidates = _candidates(draft, per_rank)
    costs = {item: _cost(draft, work, *item) for item in candidates}
    for item in sorted(candidates, key=costs.__getitem__):
        if fits(item):
            near = [one for one in candidates if costs[one] <= ALIKE * costs[item]]
            larger = sorted((one for one in near if one[0] > item[0]), key=lambda one: -one[0])
            return next((one for one in larger if fits(one)), item), True
    return candidates[-1], False


def _share(
    draft: Draft,
    work: Work,
    per_rank: int,
    micro: int,
    checkpointing: bool | str,
    *,
    ask: Callable[..., Ledger | None] = quick,
) -> float:
    """Return the share of what is free that a batch takes at most; infinite if it is not known.

    ask: `quick`, or `predict` with what the allocator reserves, which takes longer.
    """
    trial = replace(
        work,
        batch=micro,
        accumulation=_accumulation(draft, per_rank, micro, 1),
        checkpointing=checkpointing,
        eval_batch=micro,
        counted=_counted(draft, micro),
    )
    ledger = ask(draft.model.config, trial, draft.hardware.gpu)
    return math.inf if ledger is None else _total(draft, ledger) / max(1, free_bytes(draft))


def _may_store_less(draft: Draft) -> bool:
    """Full fine-tuning in float32 may fall back to bfloat16, where the spec leaves that open."""
    gpu = draft.hardware.gpu
    open_dtype = draft.spec.model.dtype is None and draft["model.dtype"] == "float32"
    return open_dtype and gpu is not None and gpu.bf16


def _total(draft: Draft, ledger: Ledger) -> int:
    spread = len(draft.hardware.cards) if draft["hardware.split_model"] else 1
    shift = context_shift(draft.hardware.known, ledger.context_bytes)
    return (ledger.high_bytes + shift) // spread


def free_bytes(draft: Draft) -> int:
    """Return the free bytes of the fullest card, under the limit that the spec sets."""
    limit = draft.spec.hardware.vram_limit
    free = draft.hardware.free_bytes
    return min(free, limit) if limit else free


def _work(draft: Draft) -> Work | None:
    shape, parameters = draft.model.shape, draft.model.parameters
    if shape is None or parameters is None or shape.family is None:
        return None
    return _plain_work(draft, parameters)


def _plain_work(draft: Draft, parameters: int) -> Work:
    shape = draft.model.shape
    assert shape is not None
    precision = draft["train.precision"]
    targets = draft["method.target_modules"] or ()
    if targets == ("all-linear",):
        targets = tuple(name for name, _, _ in shape.linears())
    saved = draft["method.modules_to_save"] or ()
    head = sum(name in ("lm_head", "embed_tokens", "wte") for name in saved)
    longest = draft["data.max_length"]
    if draft.lengths is not None and not draft["data.packing"]:
        longest = min(longest, draft.lengths.longest)
    return Work(
        shape=shape,
        parameters=parameters,
        method=draft["method.type"],
        batch=1,
        length=longest,
        dtype=draft["model.dtype"],
        autocast={"bf16": "bfloat16", "fp16": "float16"}.get(precision),
        rank=draft["method.r"] or 0,
        targets=tuple(targets),
        dropout=draft["method.dropout"] or 0.0,
        quantization=draft["method.quantization"],
        double_quant=bool(draft["method.double_quant"]),
        virtual_tokens=draft["method.num_virtual_tokens"] or 0,
        optimizer=draft["train.optimizer"],
        attention=draft["model.attention"],
        packed=draft["data.packing"],
        full_logits=draft["train.label_smoothing"] > 0,
        on_gpu=draft.hardware.gpu is not None,
        saved_modules=head * shape.vocab * shape.hidden,
        trains_head="lm_head" in saved,
        dora=draft["method.dora"],
        bias=draft["method.bias"],
        modules_to_save=tuple(saved),
        padded=_padded(draft, draft.lengths),
        ranks=1 if draft["hardware.split_model"] else _ranks(draft),
    )


def _counted(draft: Draft, micro: int) -> int:
    """Return how many positions of a batch count in the loss at most; 0: as many as there are.

    The rows with most to learn, together. A row's first token is never predicted.
    """
    lengths = draft.lengths
    if lengths is None or draft["data.packing"] or len(lengths.tokens) < lengths.of_rows:
        return 0
    limit: int = draft["data.max_length"]
    pairs = zip(lengths.tokens, lengths.supervised, strict=True)
    learnt = sorted((min(some, min(every, limit) - 1) for every, some in pairs), reverse=True)
    return max(1, sum(learnt[:micro]))


def _padded(draft: Draft, lengths: Lengths | None) -> bool:
    """Whether rows of a batch may differ in length; they do where lengths are not known."""
    if lengths is None or draft["data.packing"]:
        return True
    limit = draft["data.max_length"]
    return len({min(length, limit) for length in lengths.tokens}) > 1


def _eval_batch(draft: Draft, work: Work | None) -> Draft:
    micro = draft["train.batch_size"]
    if work is None or not draft.tuned:
        return draft.decide("train.eval_batch_size", micro, "as the micro-batch")
    checkpointing = draft["train.activation_checkpointing"]
    for size in (4 * micro, 2 * micro):
        trial = replace(work, batch=micro, checkpointing=checkpointing, eval_batch=size)
        ledger = quick(draft.model.config, trial, draft.hardware.gpu)
        if ledger is not None and ledger.peak_phase != "evaluate":
            return draft.decide("train.eval_batch_size", size, "stays under the training peak")
    return draft.decide("train.eval_batch_size", micro, "as the micro-batch")


def _final(draft: Draft, work: Work) -> Work:
    held_out = draft.eval_lengths
    if held_out is not None and not draft["data.packing"]:
        longest = min(draft["data.max_length"], held_out.longest)
        work = replace(work, eval_length=longest, eval_padded=_padded(draft, held_out))
    held_rows: int | None = draft["data.eval_rows"]
    eval_batch: int = draft["train.eval_batch_size"]
    return replace(
        work,
        batch=draft["train.batch_size"],
        counted=_counted(draft, draft["train.batch_size"]),
        accumulation=draft["train.gradient_accumulation"],
        checkpointing=draft["train.activation_checkpointing"],
        eval_batch=0
        if draft["data.eval_from"] == "none"
        else min(eval_batch, held_rows or eval_batch),  # no batch has more rows than there are
    )


def _why(draft: Draft, checkpointing: bool | str) -> str:
    if draft.spec.method.type == "prefix":
        return "no gradient would reach the prefix"
    return "saves memory, costs a second forward pass" if checkpointing else "there is room without"
