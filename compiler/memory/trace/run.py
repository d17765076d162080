"""Run a few steps of the real trainer on fake tensors, and keep the log of its memory."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from ftspec.compiler.memory.trace.calls import Call
from ftspec.compiler.memory.trace.cuda import as_on_cuda
from ftspec.compiler.memory.trace.recorder import Recorder, tensors_of
from ftspec.compiler.memory.trace.subject import DTYPES, Subject, subject
from ftspec.compiler.memory.work import Work

Events = list[tuple[int, int, str]]


@dataclass
class Trace:
    """What a trace saw.

    trained: (name, shape, bytes an element, of an embedding?) of each trained parameter.
    gradients: the keys of their gradients' storages -> the parameter. calls: operations with memory
    inside of them.
    """

    events: Events
    trained: list[tuple[str, tuple[int, ...], int, bool]]
    gradients: dict[int, str]
    calls: list[Call]
    layers: int


@dataclass(frozen=True)
class Coded:
    """What a trace for a tape has instead of the model's own.

    overrides: widths. chunks: tokens and words of a tile of the loss. counted: positions that count
    in it. backend: the attention kernel.
    """

    overrides: Mapping[str, Any]
    chunks: tuple[int, int]
    counted: int
    backend: str


def trace(
    config: Mapping[str, Any],
    work: Work,
    capability: tuple[int, int],
    coded: Coded | None = None,
) -> Trace:
    """Trace optimizer steps and an evaluation of `work` on a model of that config.

    Two steps; where it is coded one, since only a tape of it is wanted. Raises whatever the
    libraries raise on such a set-up.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    recorder = Recorder(
        capability,
        lambda t: _scalar(t, work),
        lambda mask: coded.counted if coded else _valid(mask, work, recorder.phase),
        for_tape=coded is not None,
    )
    padded = work.padded and work.batch > 1
    backend, chunks = (coded.backend, coded.chunks) if coded else ("", None)
    with (
        as_on_cuda(capability, padded=padded, backend=backend, chunks=chunks),
        mock.patch.object(torch, "is_autocast_enabled", _autocast_enabled),
    ):
        _prime(work)
        overrides = coded.overrides if coded else {}
        with subject(config, work, mode, overrides) as made, mode:
            _as_loaded(made.model, DTYPES[work.dtype])
            _load(recorder, made)
            watch_layers(recorder, made.model)
            _train(recorder, made, work, steps=1 if coded else 2)
            if work.eval_batch:
                _evaluate(recorder, made, work)
            embeddings = {
                f"{name}.weight"
                for name, module in made.model.named_modules()
                if isinstance(module, torch.nn.Embedding)
            }
            trained = [
                (name, tuple(p.shape), p.element_size(), name in embeddings)
                for name, p in made.model.named_parameters()
                if p.requires_grad
            ]
            events = list(recorder.events)
            layers = len(layers_of(made.model))
    return Trace(events, trained, recorder.gradients, recorder.calls, layers)


_AUTOCAST_ENABLED = torch.is_autocast_enabled


def _autocast_enabled(device: str = "cpu") -> bool:
    """Answer for the CPU where no device is named: that means CUDA.

    peft 0.21 tuners/lora/bnb.py casts an adapter's input and output where autocast is off.
    """
    return _AUTOCAST_ENABLED(device)


def _scalar(tensor: torch.Tensor, work: Work) -> Any:
    """Answer `.item()`: a tensor of truths is true, but for rows that are packed."""
    if tensor.dtype == torch.bool:
        return not work.packed
    return 1.0 if tensor.dtype.is_floating_point else 1


def _valid(mask: torch.Tensor, work: Work, phase: str) -> int:
    """Return how many positions count in the loss at most: none of a soft prompt's do."""
    length = work.evaluated.length if phase == "evaluate" else work.length
    most = mask.shape[0] * length if work.method == "prompt" else mask.numel()
    return min(most, work.counted) if work.counted and phase != "evaluate" else most


def _prime(work: Work) -> None:
    """Make what libraries make once from Python lists, before tensors are fake."""
    if work.quantization in ("nf4", "fp4"):
        import bitsandbytes.functional as functional

        functional.get_4bit_type(work.quantization, device="cpu")
        functional.quantize_4bit(
            torch.randn(64, 64), blocksize=64, compress_statistics=True, quant_type="nf4"
        )


def _as_loaded(model: torch.nn.Module, dtype: torch.dtype) -> None:
    """Give biases of quantized layers the base's type, in which a checkpoint is read."""
    for module in model.modules():
        bias = getattr(module, "bias", None)
        if type(module).__name__ in ("Linear4bit", "Linear8bitLt") and bias is not None:
            if not bias.requires_grad:
                bias.data = bias.data.to(dtype)


def _load(recorder: Recorder, made: Subject) -> None:
    recorder.mark("load")
    for name, tensor in tensors_of(made.model):
        recorder.watch(tensor, f"base::{name}")


def layers_of(model: torch.nn.Module) -> list[torch.nn.Module]:
    """Return the decoder's blocks: the longest list of modules of one kind."""
    lists = [m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m)]
    base = [m for m in lists if len({type(one).__name__ for one in m}) == 1]
    return max((list(m) for m in base or lists), key=len)


def watch_layers(recorder: Recorder, model: torch.nn.Module) -> None:
    """Mark where each block's forward (`F n`) and backward (`B n`) begin, and where blocks end."""
    layers = layers_of(model)
    for number, layer in enumerate(layers):
        last = number == len(layers) - 1
        layer.register_forward_pre_hook(lambda *_, n=number: _begin(recorder, n))
        layer.register_forward_hook(
            lambda module, args, out, n=number, z=last: _end(recorder, n, out, z)
        )


def _recomputes() -> bool:
    """Whether autograd's engine is at work, so that a forward is a checkpoint's second one."""
    return bool(torch._C._current_graph_task_id() != -1)


def _begin(recorder: Recorder, number: int) -> None:
    recorder.layer = str(number)
    if not _recomputes():
        recorder.mark(f"F {number}")


def _end(recorder: Recorder, number: int, out: Any, last: bool) -> None:
    recorder.layer = ""
    if _recomputes():
        return
    if last:
        recorder.mark("head")
    hidden = out[0] if isinstance(out, tuple) else out
    if hidden.requires_grad:
        hidden.register_hook(lambda grad: recorder.mark(f"B {number}"))


def _batch(work: Work, rows: int, recorder: Recorder) -> dict[str, torch.Tensor]:
    shape = (1, rows * work.length) if work.packed else (rows, work.length)
    names = ["input_ids", "labels", "position_ids" if work.packed else "attention_mask"]
    made = {name: torch.zeros(shape, dtype=torch.long) for name in names}
    for name, tensor in made.items():
        recorder.watch(tensor, f"input::{name}")
    return made


def _train(recorder: Recorder, made: Subject, work: Work, steps: int) -> None:
    trainer = made.trainer
    if work.checkpointing:  # Trainer._inner_training_loop
        trainer.model.activation_checkpointing_enable(
            activation_checkpointing_kwargs=trainer.args.activation_checkpointing_kwargs or None
        )
    model = trainer.accelerator.prepare_model(made.model, device_placement=False)
    trainer.model_wrapped = model
    trainer.create_optimizer()
    optimizer = trainer.optimizer
    trainer.accelerator.gradient_accumulation_steps = work.accumulation
    trainer.current_gradient_accumulation_steps = work.accumulation
    scaler = torch.ones(()) if work.autocast == "float16" else None
    backward = trainer.accelerator.backward

    def marked_backward(loss: torch.Tensor, **kwargs: Any) -> None:
        recorder.mark("turn")
        recorder.phase = "backward"
        backward(loss, **kwargs)
        recorder.phase = "forward"

    trainer.accelerator.backward = marked_backward
    with recorder:
        for step in range(steps):
            batches = [_batch(work, work.batch, recorder) for _ in range(work.accumulation)]
            items = torch.ones((), dtype=torch.long)
            recorder.watch(items, "input::items")
            for number in range(work.accumulation):
                recorder.phase = "forward"
                recorder.mark(f"step {step} micro {number}")
                inputs = batches.pop(0)
                loss = trainer.training_step(model, inputs, items)
                del inputs
            del loss
            for name, parameter in made.model.named_parameters():
                if parameter.grad is not None:
                    key = recorder.key_of(parameter.grad)
                    assert key is not None, name
                    recorder.gradients[key] = name
            recorder.mark(f"step {step} clip")
            recorder.phase = "clip"
            trainer.accelerator.unscale_gradients = lambda *_: None
            if steps > 1:
                trainer.accelerator.clip_grad_norm_(model.parameters(), 1.0)
            recorder.mark(f"step {step} optimizer")
            recorder.phase = "optimizer"
            if steps > 1:
                optimizer.step()
            recorder.mark(f"step {step} zero")
            model.zero_grad()
            gc.collect()
    del scaler


def _evaluate(recorder: Recorder, made: Subject, work: Work) -> None:
    import transformers.masking_utils as masks

    trainer = made.trainer
    held_out = work.evaluated
    padded = held_out.padded and work.eval_batch > 1
    trainer.model_wrapped.eval()
    recorder.phase = "evaluate"
    recorder.mark("evaluate")
    with mock.patch.object(masks, "fast_all", lambda _: not padded), recorder:
        inputs = _batch(held_out, work.eval_batch, recorder)
        trainer.prediction_step(trainer.model_wrapped, inputs, True)
        del inputs
    recorder.mark("end")
