"""`ftspec gpus`: what is known of cards, and which are in this machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import click

from ftspec.cli.output import command, print_json
from ftspec.cli.paint import painter
from ftspec.cli.words import NothingFitsError, rows_of_words
from ftspec.compiler.facts.gpus import Gpu, catalogue, matching, nearest_names
from ftspec.compiler.facts.hardware import Hardware
from ftspec.spec.render import Paint

GIB = 2**30
WITH_SOURCES = 8  # so few cards are shown with where their figures are from
HEAD = ("card", "GiB", "GB/s", "TFLOP/s", "cc", "bf16", "fp8")
# Right-aligned columns after the name; the rate is of bf16, or of fp16 where there is no bf16.
WIDTHS = (6, 6, 8, 5, 5, 4)


@click.command()
@click.argument("text", nargs=-1)
@click.option("--here", is_flag=True, help="The cards of this machine, and what of them is free.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def gpus(text: tuple[str, ...], here: bool, as_json: bool) -> int:
    """List the cards that ftspec knows, or those that TEXT names.

    TEXT is a part of a name, such as `rtx 40`, or a size, such as `80gb`; or several of them, such
    as `4090 a100`.
    """
    if here and text:
        raise click.UsageError("`--here` shows this machine: it takes no TEXT")
    if here:
        return _here(as_json=as_json)
    found = _found(" ".join(text))
    if as_json:
        print_json({"schema_version": 1, "gpus": [_facts(gpu) for gpu in found]})
        return 0
    for line in _table(found, painter(sys.stdout)):
        print(line)
    print(f"\n{_legend(found)}")
    print(f"next: {command('check', 'SPEC', '--gpu', _short(found))}")
    return 0


def _found(text: str) -> tuple[Gpu, ...]:
    try:
        return tuple(rows_of_words(text, matching)) if text.strip() else catalogue()
    except NothingFitsError as error:
        near = ", ".join(f"`{name}`" for name in nearest_names(error.text))
        hint = f" Did you mean {near}?" if near else ""
        raise click.UsageError(f"no card `{error.text}`.{hint}") from None


def _table(found: tuple[Gpu, ...], paint: Paint) -> Iterator[str]:
    width = max(len(gpu.name) for gpu in found)
    yield paint(_row(HEAD, width), "bold")
    for gpu in found:
        yield _row(_cells(gpu), width)
        if len(found) <= WITH_SOURCES:
            yield paint(f"  {gpu.source}", "dim")


def _cells(gpu: Gpu) -> tuple[str, ...]:
    return (
        gpu.name,
        f"{gpu.usable_bytes / GIB:.1f}",
        f"{gpu.bandwidth / 1e9:,.0f}",
        f"{(gpu.bf16_flops or gpu.fp16_flops) / 1e12:,.1f}",
        f"{gpu.capability[0]}.{gpu.capability[1]}",
        "yes" if gpu.bf16 else "no",
        "yes" if gpu.fp8 else "no",
    )


def _row(cells: tuple[str, ...], width: int) -> str:
    name, *rest = cells
    return f"{name:<{width}} " + " ".join(
        f"{cell:>{size}}" for cell, size in zip(rest, WIDTHS, strict=True)
    )


def _legend(found: tuple[Gpu, ...]) -> str:
    more = "" if len(found) <= WITH_SOURCES else "; `ftspec gpus TEXT` shows sources"
    return (
        "GiB: what an idle card leaves to programs. TFLOP/s: dense, fp32 accumulation, in bf16,\n"
        f"in fp16 where there is no bf16. cc: compute capability. {len(found)} cards{more}"
    ).replace(" 1 cards", " 1 card")


def _short(found: tuple[Gpu, ...]) -> str:
    return "NAME" if len(found) == len(catalogue()) else found[0].name


def _facts(gpu: Gpu) -> dict[str, Any]:
    """Return what programs read of a card: bytes, bytes a second, FLOP a second."""
    return {
        "name": gpu.name,
        "usable_bytes": gpu.usable_bytes,
        "total_bytes": gpu.total_bytes,
        "memory": "reported" if gpu.measured_memory else "estimated",
        "bandwidth": round(gpu.bandwidth),
        "bf16_flops": None if gpu.bf16_flops is None else round(gpu.bf16_flops),
        "fp16_flops": round(gpu.fp16_flops),
        "capability": f"{gpu.capability[0]}.{gpu.capability[1]}",
        "bf16": gpu.bf16,
        "fp8": gpu.fp8,
        "source": gpu.source,
    }


def _here(*, as_json: bool) -> int:
    from ftspec.runtime import hardware as runtime
    from ftspec.runtime import nvidia

    found, driver = runtime.detect(), nvidia.driver()
    if as_json:
        cards = [
            {
                **_facts(card.gpu),
                "free_bytes": card.free_bytes,
                "held_by": [{"name": name, "bytes": size} for name, size in card.held_by],
            }
            for card in found.cards
        ]
        print_json(
            {
                "schema_version": 1,
                "cards": cards,
                "driver": driver.version if driver else None,
                "cuda": driver.cuda if driver else None,
                "host_bytes": found.host_bytes,
                "cores": found.cores,
                "note": found.note,
                "unmeasured": list(found.unmeasured),
            }
        )
        return 0
    for line in _machine(found, painter(sys.stdout)):
        print(line)
    if driver:
        print(f"driver {driver.version}, which runs CUDA up to {driver.cuda}")
    print(f"host: {found.host_bytes / GIB:.1f} GiB of memory, {found.cores} cores")
    print(f"next: {command('check', 'SPEC', *(() if found.cards else ('--gpu', 'NAME')))}")
    return 0


def _machine(found: Hardware, paint: Paint) -> Iterator[str]:
    for number, card in enumerate(found.cards):
        gpu = card.gpu
        yield (
            f"{number}  {paint(gpu.name, 'bold')}: {card.free_bytes / GIB:.1f} GiB free"
            f" of {gpu.usable_bytes / GIB:.1f}"
        )
        has = [name for name, there in (("bf16", gpu.bf16), ("fp8", gpu.fp8)) if there]
        words = ", ".join([f"compute capability {gpu.capability[0]}.{gpu.capability[1]}", *has])
        yield f"   {words}; {gpu.bandwidth / 1e9:,.0f} GB/s"
        if gpu.source.startswith("NVML;"):
            yield f"   {gpu.source}"
        for name, size in card.held_by:
            held = f"{size / GIB:.1f} GiB" if size else "memory"
            yield f"   {held} held by {name}"
    if not found.cards:
        yield "no card to train on: the CPU trains"
    if found.note:
        yield f"({found.note})"
