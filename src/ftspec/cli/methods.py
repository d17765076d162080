"""`ftspec methods`: the guide's table of five methods, for any model."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ftspec.cli.failure import CannotReadError
from ftspec.cli.inputs import hardware_of
from ftspec.cli.output import command, print_json, width
from ftspec.cli.paint import painter, speaks_unicode
from ftspec.compiler.facts.gpus import find_gpu
from ftspec.compiler.facts.hardware import Hardware, named
from ftspec.compiler.methods import (
    CARDS,
    GIB,
    GUIDE,
    METHODS,
    NoMethodsError,
    Prediction,
    guide_size,
    predict_methods,
)
from ftspec.spec.render import Paint

REFERENCE = "h200"  # large enough for most, and measured
START = (
    "the guide's start: r 16, alpha 32, 4 rows x 4 of accumulation, {length} tokens, checkpointing"
    " (not with prefix), nothing fitted"
)
MARKS = {"fits": "✓", "tight": "~", "no": "·", "unknown": "?"}
PLAIN = {"fits": "y", "tight": "~", "no": "-", "unknown": "?"}
STYLES = {"fits": "green", "tight": "yellow", "no": "dim", "unknown": "dim"}


@click.command()
@click.argument("model")
@click.option("--gpu", metavar="NAME", help="Predict on this card; without it, on an H200.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def methods(model: str, gpu: str | None, as_json: bool) -> int:
    """Compare the five methods for MODEL: memory, speed, and the guide's word on them.

    MODEL is a hub id, a folder or a GGUF file.
    """
    hardware = _hardware(gpu)
    try:
        found = predict_methods(model, Path.cwd(), hardware)
    except NoMethodsError as error:
        raise CannotReadError(str(error)) from error
    if as_json:
        print_json(_document(model, found, hardware))
        return 0
    paint, unicode = painter(sys.stdout), speaks_unicode(sys.stdout)
    for line in _lines(found, hardware, paint, unicode=unicode):
        print(line)
    print(f"next: {command('check', 'SPEC', *(('--gpu', gpu) if gpu else ()))}")
    return 0


def _hardware(gpu: str | None) -> Hardware:
    if gpu is not None:
        found = hardware_of(gpu, None, None)
        if found.gpu is None:
            raise click.UsageError("`--gpu` takes a card here: the table is about cards")
        return found
    card = find_gpu(REFERENCE)
    assert card is not None
    return named(card, 1)


def _lines(
    found: tuple[Prediction, ...], hardware: Hardware, paint: Paint, *, unicode: bool
) -> Iterator[str]:
    plan = found[0].plan
    parameters = plan.model.parameters
    count = f", {parameters / 1e9:.2f} B parameters" if parameters else ""
    yield f"{paint(plan.model.name, 'bold')} ({plan.model.architecture or 'unknown'}{count})"
    yield from textwrap.wrap(START.format(length=plan.data.max_length), width())
    if any(item.plan.memory.peak_bytes is None for item in found):
        yield f"memory cannot be told: {plan.memory.note}"
    else:
        yield f"predicted on {_where(hardware)}"
        yield ""
        yield from _memory(found, paint, unicode=unicode)
        yield from _remarks(found, guide_size(parameters))
    left_out = [method for method in METHODS if method not in {item.method for item in found}]
    if left_out:
        yield f"{', '.join(left_out)}: refused; {command('check', 'SPEC')} says why"
    yield ""
    yield from _guide(found)


def _where(hardware: Hardware) -> str:
    gpu = hardware.gpu
    count = f"{len(hardware.cards)} x " if len(hardware.cards) > 1 else ""
    return f"{count}{gpu.name if gpu else 'no card'}"


def _memory(found: tuple[Prediction, ...], paint: Paint, *, unicode: bool) -> Iterator[str]:
    sizes = [size for size, _, _ in CARDS]
    guide = any(item.guide_gb for item in found)
    head = f"{'':7} {'allocated':>10} {'driver':>10}" + (f" {'guide':>7}" if guide else "")
    yield paint(f"{head}  {' '.join(sizes)}", "bold")
    marks = MARKS if unicode else PLAIN
    for item in found:
        memory = item.plan.memory
        line = f"{item.method:7} {_gib(memory.allocated_peak_bytes):>10} "
        line += f"{_gib(memory.peak_bytes):>10}"
        if guide:
            line += f" {f'{item.guide_gb} GB' if item.guide_gb else '':>7}"
        cells = [
            paint(f"{marks[fit.verdict]:^{len(fit.size)}}", STYLES[fit.verdict])
            for fit in item.fits
        ]
        yield f"{line}  {' '.join(cells)}".rstrip()
    cards = "; ".join(f"{size}: {', '.join(names)}" for size, names, count in CARDS if count == 1)
    words = f"{marks['fits']} fits, {marks['tight']} may not, {marks['no']} does not, on cards of"
    yield from textwrap.wrap(f"{words} so many GB ({cards}; 2x80 to 8x80: H100)", width())
    if any(fit.split for item in found for fit in item.fits):
        yield "on several cards the base's layers are spread where one cannot hold it"


def _gib(size: int | None) -> str:
    return "?" if size is None else f"{size / GIB:.1f} GiB"


def _remarks(found: tuple[Prediction, ...], size: str | None) -> Iterator[str]:
    """Yield where physics and the guide part."""
    if size is None:
        yield from ("", "the guide has figures for 7B, 13B and 70B: none for a model of this size")
        return
    yield from ("", f"the guide's figures for {size} (10^9 bytes), and the prediction")
    for item in found:
        if item.guide_gb:
            text = f"{item.guide_gb} GB: {item.remark}"
            head = f"  {item.method:7} "
            yield from textwrap.wrap(
                text, width(), initial_indent=head, subsequent_indent=" " * len(head)
            )


def _guide(found: tuple[Prediction, ...]) -> Iterator[str]:
    yield "the guide on speed, quality and cost; tokens a second here are predicted"
    for item in found:
        told, speed = GUIDE[item.method], item.speed
        line = f"  {item.method:7} {told.speed:9} {told.quality:9} {told.cost:8}"
        if speed.tokens_per_second is not None:
            line += f" {speed.tokens_per_second:>7,.0f} ({speed.low:,.0f} to {speed.high:,.0f})"
        yield f"{line}".rstrip()
    note = found[0].speed.note
    yield from textwrap.wrap(f"({note})", width()) if note else ()


def _document(model: str, found: tuple[Prediction, ...], hardware: Hardware) -> dict[str, Any]:
    plan = found[0].plan
    return {
        "schema_version": 1,
        "model": model,
        "architecture": plan.model.architecture,
        "parameters": plan.model.parameters,
        "gpu": hardware.gpu.name if hardware.gpu else None,
        "count": len(hardware.cards),
        "max_length": plan.data.max_length,
        "guide_size": guide_size(plan.model.parameters),
        "methods": [_method(item) for item in found],
    }


def _method(item: Prediction) -> dict[str, Any]:
    memory, speed, told = item.plan.memory, item.speed, GUIDE[item.method]
    return {
        "method": item.method,
        "verdict": memory.verdict,
        "allocated_peak_bytes": memory.allocated_peak_bytes,
        "peak_bytes": memory.peak_bytes,
        "low_bytes": memory.low_bytes,
        "high_bytes": memory.high_bytes,
        "guide_gb": item.guide_gb,
        "remark": item.remark,
        "cards": {fit.size: fit.verdict for fit in item.fits},
        "tokens_per_second": speed.tokens_per_second,
        "tokens_per_second_low": speed.low,
        "tokens_per_second_high": speed.high,
        "guide": {
            "memory": told.memory,
            "speed": told.speed,
            "quality": told.quality,
            "cost": told.cost,
        },
    }
