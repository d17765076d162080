"""Record the tapes that ftspec ships.

    python -m ftspec.compiler.memory.trace.library FOLDER [--part 1/2] [--only llama]

For one model of each structure in the catalogue, the regimes that plans mostly have. A tape that
the folder holds already, recorded with the versions that are installed now, is kept. About three
seconds a tape on one core.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ftspec.compiler.facts import catalogue
from ftspec.compiler.facts.config import shape_of
from ftspec.compiler.memory import tapes
from ftspec.compiler.memory.regime import PRESETS, attention_of, regime, structure
from ftspec.compiler.memory.work import Work

HOPPER, AMPERE = (9, 0), (8, 6)


def models() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (structure, model, config): the smallest dense model of each structure."""
    found: dict[str, tuple[int, str, dict[str, Any]]] = {}
    for name in catalogue.known_ids():
        config = catalogue.known_config(name)
        count = catalogue.known_parameters(name)
        if config is None or count is None or "text_config" in config:
            continue
        shape = shape_of(config, name)
        if shape.experts or shape.latent or shape.family is None:
            continue
        key = structure(config, shape)
        if key not in found or count < found[key][0]:
            found[key] = (count, name, config)
    for key, (_, name, config) in sorted(found.items()):
        yield key, name, config


def works(config: dict[str, Any], name: str) -> Iterator[tuple[Work, tuple[int, int]]]:
    """Yield set-ups, one of each regime, with the card they are for."""
    shape = shape_of(config, name)
    family = shape.family
    assert family is not None
    attention = "sdpa" if family.sdpa else "eager"
    plain: dict[str, Any] = {"shape": shape, "parameters": 0, "length": 512, "attention": attention}
    cards = (HOPPER, AMPERE) if attention == "sdpa" else (HOPPER,)
    for card, padded, checkpointed in itertools.product(cards, (False, True), (True, False)):
        same = {**plain, "batch": 2, "padded": padded, "checkpointing": checkpointed}
        half = {**same, "dtype": "bfloat16", "autocast": "bfloat16"}
        for preset, dropout in itertools.product(PRESETS[1:], (0.05, 0.0)):
            adapter = {"rank": 16, "targets": family.targets(preset), "dropout": dropout}
            yield Work(method="qlora", quantization="nf4", **adapter, **half), card
            yield Work(method="lora", **adapter, **half), card
        yield Work(method="full", dtype="float32", autocast="bfloat16", **same), card
        yield Work(method="full", **half), card
        yield Work(method="prompt", virtual_tokens=20, **half), card
        if not checkpointed:
            yield Work(method="prefix", virtual_tokens=20, **half), card


def record_all(folder: Path, part: int, parts: int, only: str) -> None:
    """Record what is missing, each in a process of its own; say what could not be recorded."""
    from ftspec.compiler.memory.trace import preload

    preload.libraries()
    every = [
        (key, name, config, work, card)
        for key, name, config in models()
        if key.startswith(only)
        for work, card in works(config, name)
    ]
    for number, (key, name, config, work, card) in enumerate(every):
        wanted = regime(config, work, card)
        if wanted is None or hash_of(key) % parts != part:
            continue
        if tapes.read(folder, key, wanted, tapes.installed()) is not None:
            continue
        child = os.fork()
        if child == 0:
            os._exit(_record_one(folder, key, name, config, work, wanted, card))
        _, status = os.waitpid(child, 0)
        print(f"{number + 1}/{len(every)} {key} | {wanted}", "" if status == 0 else "FAILED")
        sys.stdout.flush()


def hash_of(text: str) -> int:
    """Return a number that is the same in every process."""
    return sum(text.encode()) + len(text)


def _record_one(
    folder: Path,
    key: str,
    name: str,
    config: dict[str, Any],
    work: Work,
    wanted: str,
    card: tuple[int, int],
) -> int:
    from ftspec.compiler.memory.trace.record import record

    try:
        tape = record(config, work, attention_of(work, card).split()[0])
    except Exception as error:
        print(f"  {name}: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
        return 1
    tapes.add(folder, key, wanted, tape, tapes.installed())
    return 0


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", default="1/1", help="a share of the work, as 1/2")
    parser.add_argument("--only", default="", help="structures with this beginning")
    options = parser.parse_args()
    part, parts = (int(word) for word in options.part.split("/"))
    record_all(options.folder, part - 1, parts, options.only)


if __name__ == "__main__":
    main()
