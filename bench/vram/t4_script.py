"""Trace fitcheck-llm's own training step on fake tensors, and replay it through the allocator.

The step is that of scripts/measure.py in its source archive on PyPI: a plain loop around the
model's own loss, with no trainer. What a spec of ftspec cannot say of it is said here in code:
peft's `prepare_model_for_kbit_training`, float32 adapters, logits that live until the step is
over, the memory-efficient attention kernel and no other, segments that do not expand. The parts
that do the predicting are ftspec's: its recorder, its tables of what kernels allocate, its model
of the allocator. Needs torch, transformers, peft and bitsandbytes.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from t4 import MIB, T4Row, Taken, work_of
from torch._subclasses.fake_tensor import FakeTensorMode

from ftspec.compiler.memory.replay import EMPTY_CACHE, PHASE, replay
from ftspec.compiler.memory.trace.cuda import as_on_cuda
from ftspec.compiler.memory.trace.recorder import Recorder, tensors_of
from ftspec.compiler.memory.trace.subject import materialize, meta_model

T4 = (7, 5)
CARD_MIB = 14_912  # what the rows' driver says that the card has
STEPS = 2  # one to warm up, one that is measured
EMPTIES_SINCE = (0, 20)  # peft's release whose preparation empties the cache (utils/other.py)
TEMPORARY = 10**9  # keys from here on are of what is gone after loading

Events = list[tuple[int, Any]]


def trace_t4(row: T4Row, *, expandable: bool = False) -> Taken:
    """Return the peaks of the measured step, as torch's own counters would show them.

    Raises whatever the libraries raise on such a set-up.
    """
    return replayed(events_of(row), row, expandable=expandable)


def replayed(events: Events, row: T4Row, *, expandable: bool = False) -> Taken:
    """Replay a run on a T4; peaks count from where the measured step begins."""
    room = None if expandable else CARD_MIB * MIB - row.context
    seen = replay(events, expandable=expandable, room=room)
    if seen.failed_at is not None:
        raise MemoryError(f"{row.id}: out of memory in the replay")
    last = [peaks for name, peaks in seen.phases.items() if name.endswith(f" {STEPS - 1}")]
    return Taken(max(size for size, _ in last), max(size for _, size in last))


def events_of(row: T4Row) -> Events:
    """Return what a run allocates and releases, from loading to the end of the measured step."""
    recorder = Recorder(
        T4,
        lambda tensor: True if tensor.dtype == torch.bool else 1.0,
        lambda mask: mask.numel(),
    )
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with as_on_cuda(T4, padded=False, backend="efficient"), _repeated_heads():
        _prime()
        model = _model(row)
        with mode:
            materialize(model)
            held = [
                (recorder.watch(tensor, f"base::{name}"), name, tensor.untyped_storage().nbytes())
                for name, tensor in tensors_of(model)
            ]
            recorder.events.clear()
            _steps(recorder, model, row)
    loading = _load_quantized if row.quantization != "none" else _load
    return [*loading(list(dict.fromkeys(held)), row), *_plain(recorder.events)]


def _prime() -> None:
    """Make bitsandbytes' tables before tensors are fake."""
    import bitsandbytes.functional as functional

    functional.get_4bit_type("nf4", device="cpu")
    functional.quantize_4bit(torch.randn(64, 64), blocksize=64, quant_type="nf4")


@contextmanager
def _repeated_heads() -> Iterator[None]:
    """Repeat key and value heads before attention, as the script's shim does."""
    attention = F.scaled_dot_product_attention

    def repeated(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        groups = query.shape[-3] // key.shape[-3]
        if groups > 1:
            key = key.repeat_interleave(groups, dim=-3)
            value = value.repeat_interleave(groups, dim=-3)
            kwargs.pop("enable_gqa", None)
        return attention(query, key, value, *args, **kwargs)

    with mock.patch.object(F, "scaled_dot_product_attention", repeated):
        yield


def _model(row: T4Row) -> Any:
    """Build the model as the script's `build_model` does, on the meta device."""
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    if row.config is None:
        raise KeyError(f"{row.model} is not in the catalogue")
    model: Any = meta_model(row.config, work_of(row), {})
    model.config.use_cache = False
    settings = LoraConfig(
        r=row.rank,
        lora_alpha=2 * row.rank,
        lora_dropout=0.0,
        bias="none",
        task_type="CAUSAL_LM",
        target_modules=list(row.targets),
    )
    with torch.device("meta"):
        if row.quantization != "none":
            model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=True)
        model = get_peft_model(model, settings)
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.enable_input_require_grads()
    return model.train()


def _steps(recorder: Recorder, model: Any, row: T4Row) -> None:
    """Run the script's `one_step` twice."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    batch = torch.zeros((row.batch, row.length), dtype=torch.long)
    recorder.watch(batch, "input::ids")

    def one_step(number: int) -> None:
        recorder.mark(f"forward {number}")
        optimizer.zero_grad(set_to_none=True)
        out = model(input_ids=batch, labels=batch)
        recorder.mark(f"backward {number}")
        recorder.phase = "backward"
        out.loss.backward()
        recorder.mark(f"optimizer {number}")
        recorder.phase = "optimizer"
        optimizer.step()
        recorder.phase = "forward"

    with recorder:
        for number in range(STEPS):
            one_step(number)
            gc.collect()


def _plain(traced: list[tuple[int, int, str]]) -> Iterator[tuple[int, Any]]:
    for key, size, tag in traced:
        yield (PHASE, tag) if key == -1 else (key, size)


Held = list[tuple[int, str, int]]  # key, name, bytes


def _load(held: Held, row: T4Row) -> Iterator[tuple[int, Any]]:
    """Weights in the order of modules (`model.cuda()`), then adapters, from a half-width copy.

    peft moves a new adapter in its layer's dtype, and casts it to float32 afterwards.
    """
    keys = count(TEMPORARY)
    yield from ((key, size) for key, name, size in held if not _is_adapter(name))
    for key, name, size in held:
        if _is_adapter(name):
            half = next(keys)
            yield half, size // 2
            yield key, size
            yield half, -1


def _load_quantized(held: Held, row: T4Row) -> Iterator[tuple[int, Any]]:
    """The warm-up block, weights from float16 copies, float32 casts of the rest, adapters.

    transformers, modeling_utils.py `caching_allocator_warmup`: one block of all weights, given
    back to the cache at once. Then one weight after the other, by name; peft's preparation casts
    what is not quantized, in the order of modules.
    """
    keys = count(TEMPORARY)
    base = [item for item in held if not _is_adapter(item[1])]
    quantized = {name.removesuffix(".absmax") for _, name, _ in base if name.endswith(".absmax")}
    parts = (".absmax", ".code", ".offset")
    cast = [
        item
        for item in base
        if item[1] not in quantized and not item[1].endswith(parts) and "rotary" not in item[1]
    ]
    wide = {key for key, _, _ in cast}
    warm_up = next(keys)
    yield warm_up, sum(size // 2 if key in wide else size for key, _, size in base)
    yield warm_up, -1
    halves = {}
    for key, name, size in sorted(base, key=lambda item: _natural(item[1])):
        if key in wide:
            halves[key] = next(keys)
            yield halves[key], size // 2
        elif name in quantized:
            copy = next(keys)
            yield copy, 4 * size  # two bytes an element, of which a byte holds two
            yield key, size
            yield copy, -1
        else:
            yield key, size
    for key, _, size in cast:
        yield key, size
        yield halves[key], -1
    if row.peft >= EMPTIES_SINCE:
        yield EMPTY_CACHE, 0
    yield from ((key, size) for key, name, size in held if _is_adapter(name))


def _is_adapter(name: str) -> bool:
    return ".lora_" in name


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Order names as a checkpoint is read: by their parts, numbers as numbers."""
    plain = name.removeprefix("base_model.model.").replace(".base_layer", "")
    words = re.split(r"\.", plain)
    return [(0, int(word), "") if word.isdigit() else (1, 0, word) for word in words]
