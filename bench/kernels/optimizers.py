"""Steps of optimizers, clipping and unscaling: what they hold beside their states."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import torch
from meter import DEVICE, Meter, Task, emit, peak_of

Parameters = list[torch.nn.Parameter]
Build = Callable[[Parameters], torch.optim.Optimizer]

SIZES = ((4096, 4096), (4096,), (1024, 3000), (16, 4096), (777,))
ADAFACTOR = {"scale_parameter": False, "relative_step": False, "lr": 1e-3}
OPTIMIZERS: dict[str, Build] = {
    "fused adamw": lambda weights: torch.optim.AdamW(weights, fused=True),
    "foreach adamw": lambda weights: torch.optim.AdamW(weights, foreach=True),
    "sgd momentum": lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9),
    "sgd plain": lambda weights: torch.optim.SGD(weights, lr=0.1),
    "adagrad": lambda weights: torch.optim.Adagrad(weights, lr=0.1),
    "rmsprop": lambda weights: torch.optim.RMSprop(weights, lr=0.1),
    "bnb adamw8bit": lambda weights: _bnb().AdamW8bit(weights),
    "bnb pagedadamw8bit": lambda weights: _bnb().PagedAdamW8bit(weights),
    "bnb pagedadamw32bit": lambda weights: _bnb().PagedAdamW32bit(weights),
    "bnb lion8bit": lambda weights: _bnb().Lion8bit(weights),
    "bnb ademamix8bit": lambda weights: _bnb().AdEMAMix8bit(weights),
    "bnb rmsprop8bit": lambda weights: _bnb().RMSprop8bit(weights),
    "adafactor": lambda weights: _transformers().Adafactor(weights, **ADAFACTOR),
}


def _bnb() -> Any:
    return import_module("bitsandbytes").optim


def _transformers() -> Any:
    return import_module("transformers.optimization")


def optimizers() -> Iterator[Task]:
    """Two steps of each optimizer, then clipping and unscaling of gradients."""
    for dtype in (torch.bfloat16, torch.float32):
        for name, build in OPTIMIZERS.items():
            yield _steps(f"{name} {dtype}", build, dtype)
        for foreach in (None, False):
            yield _clipping(f"{dtype} foreach={foreach}", dtype, foreach)
    yield "GradScaler", _unscale


def _weights(dtype: torch.dtype) -> Parameters:
    weights = [torch.nn.Parameter(torch.randn(*s, device=DEVICE, dtype=dtype)) for s in SIZES]
    for weight in weights:
        weight.grad = torch.randn_like(weight)
    return weights


def _steps(name: str, build: Build, dtype: torch.dtype) -> Task:
    def measure() -> None:
        weights = _weights(dtype)
        optimizer = build(weights)
        elements = sum(weight.numel() for weight in weights)
        for op in ("raw:first step", "raw:step"):  # the first one makes the states
            _, peak, kept = peak_of(optimizer.step)
            emit(op=op, case=name, measured=peak, kept=kept, elements=elements)
        with Meter(name):
            optimizer.step()

    return name, measure


def _clipping(name: str, dtype: torch.dtype, foreach: bool | None) -> Task:
    def measure() -> None:
        weights = _weights(dtype)

        def clip() -> torch.Tensor:
            return torch.nn.utils.clip_grad_norm_(weights, 1.0, foreach=foreach)

        _, peak, kept = peak_of(clip)
        emit(op="raw:clip_grad_norm", case=name, measured=peak, kept=kept)
        with Meter(f"clip_grad_norm {name}"):
            clip()

    return name, measure


def _unscale() -> None:
    optimizer = torch.optim.SGD(_weights(torch.float32), lr=0.1)
    scaler = torch.amp.GradScaler(DEVICE)
    scaler.scale(torch.ones((), device=DEVICE))  # makes the scale
    _, peak, kept = peak_of(lambda: scaler.unscale_(optimizer))
    emit(op="raw:unscale", case="GradScaler", measured=peak, kept=kept)
