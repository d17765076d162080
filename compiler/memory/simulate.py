"""Write down what a whole run allocates: loading, two optimizer steps, an evaluation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ftspec.compiler.memory.optimizers import MAPS, OPTIMIZERS, Need, Parameter
from ftspec.compiler.memory.replay import EMPTY_CACHE, PHASE
from ftspec.compiler.memory.tape import Player, Tape

NORM_PIECE = 65_536  # elements a partial norm is of (ATen cuda/ForeachReduceOp.cu)
STEPS = 2  # the second has the optimizer's states, as all later ones do

BLOCK = re.compile(r"\.\d+\.")
Mark = tuple[int, int | str]


@dataclass(frozen=True, slots=True)
class Setting:
    """What of a run is not on the tape.

    inputs: tensors of a micro-batch and the bytes of each; eval_inputs the same. workspace: bytes
    of cuBLAS's, one a thread; biased_workspace: of biased products'. quantized: whether weights
    are quantized on the card.
    """

    layers: int
    accumulation: int
    optimizer: str
    inputs: tuple[int, ...]
    eval_inputs: tuple[int, ...]
    workspace: int
    biased_workspace: int
    quantized: bool


def events(
    player: Player, sizes: Sequence[int], setting: Setting, eval_sizes: Sequence[int] = ()
) -> Iterator[Mark]:
    """Yield the events of a run, as `replay` takes them; sizes: bytes of each of the tape's.

    eval_sizes: the same for an evaluation's batch. player: what plays the tape's passes.
    """
    tape = player.tape
    player.sizes = list(sizes)
    yield PHASE, "load"
    yield from _load(player, setting)
    states: list[int] = []
    needs = [OPTIMIZERS[setting.optimizer](p) for p in parameters(tape, sizes, setting.layers)]
    for step in range(STEPS):
        yield PHASE, "forward"
        batches = []
        for _ in range(setting.accumulation):
            batch = [player.alloc(size, "batch") for size in setting.inputs]
            yield from batch
            batches.append([key for key, _ in batch])
        gradients: list[int] = []
        micro_steps = min(setting.accumulation, 2)  # those after the second are like it
        for number in range(micro_steps):
            yield PHASE, "forward"
            played, kept = player.play("first" if number == 0 else "more")
            gradients += kept
            if step == 0 and number == 0:
                yield from _with_workspaces(player, played, setting)
            else:
                yield from played
        for batch_keys in batches:
            yield from ((key, -1) for key in batch_keys)
        yield from _clip(player, tape, sizes, setting.layers)
        yield PHASE, "optimizer"
        if step == 0 and "8bit" in setting.optimizer:
            yield from (player.alloc(MAPS // 2, "optimizer") for _ in range(2))
        yield from _step(player, needs, states, first=step == 0)
        yield from ((key, -1) for key in gradients)
    if setting.eval_inputs and "evaluate" in tape.passes:
        yield PHASE, "evaluate"
        batch = [player.alloc(size, "batch") for size in setting.eval_inputs]
        yield from batch
        player.sizes = list(eval_sizes or sizes)
        yield from player.play("evaluate")[0]
        yield from ((key, -1) for key, _ in batch)


def parameters(tape: Tape, sizes: Sequence[int], layers: int) -> list[Parameter]:
    """Return the trained parameters of a model of so many blocks."""
    found = []
    for one in tape.trained:
        shape = tuple(sizes[place] for place in one.shape)
        count = layers if one.each_block else 1
        found += [Parameter(shape, one.bytes_each, one.embedding)] * count
    return found


def paged_bytes(tape: Tape, sizes: Sequence[int], setting: Setting) -> int:
    """Return the managed memory of a paged optimizer, which lies outside of the allocator."""
    need = OPTIMIZERS[setting.optimizer]
    every = (need(p).paged for p in parameters(tape, sizes, setting.layers))
    return sum(sum(paged) for paged in every)


def _load(player: Player, setting: Setting) -> Iterator[Mark]:
    """Weights, then adapters; and what lies about unused is given back before training.

    Accelerator.free_memory empties the cache at the start of Trainer's loop.
    """
    held = list(_held(player.tape, player.sizes, setting.layers))
    if setting.quantized:
        yield from _load_quantized(player, held)
    else:  # loaded on the host, and moved as a whole
        yield from (player.alloc(size, _account(name)) for name, size in held)
    yield EMPTY_CACHE, 0


def _held(tape: Tape, sizes: Sequence[int], layers: int) -> Iterator[tuple[str, int]]:
    """Yield (name, bytes) of all that the model holds, in the order of its modules."""
    blocks = [one for one in tape.base if one.each_block]
    begun = False
    for one in tape.base:
        if not one.each_block:
            yield one.name, sizes[one.size]
        elif not begun:
            begun = True
            for layer in range(layers):
                for item in blocks:
                    yield BLOCK.sub(f".{layer}.", item.name, count=1), sizes[item.size]


def _load_quantized(player: Player, held: Sequence[tuple[str, int]]) -> Iterator[Mark]:
    """One weight after the other, by name, each from a copy that is gone afterwards.

    transformers 5.23 core_model_loading.py (no threads where it quantizes), modeling_utils.py
    caching_allocator_warmup; bitsandbytes 0.50 nn/modules.py; then peft's adapters in float32,
    which trl 1.16 casts to bfloat16 (sft_trainer.py).
    """
    base = [item for item in held if not _is_adapter(item[0])]
    parts = {name.rsplit(".", 1)[0] for name, _ in base if name.endswith((".absmax", ".SCB"))}
    warm_up = player.alloc(sum(size for _, size in base), "base_weights")
    yield warm_up
    yield warm_up[0], -1
    for name, size in sorted(base, key=lambda item: _natural(item[0])):
        if name in parts or f"{name.removesuffix('.weight')}" in parts:
            yield from _quantize(player, name, size, nibbles=name in parts)
        else:
            yield player.alloc(size, "base_weights")
    wide = [(player.alloc(2 * size, "adapters"), size) for name, size in held if _is_adapter(name)]
    yield from (event for event, _ in wide)
    for (key, _), size in wide:
        yield player.alloc(size, "adapters")
        yield key, -1


def _quantize(player: Player, name: str, size: int, *, nibbles: bool) -> Iterator[Mark]:
    held = "base_weights"
    copy = player.alloc(size * (4 if nibbles else 2), held)
    second = None if nibbles else player.alloc(2 * size, held)  # LLM.int8() takes float16
    yield copy
    if second is not None:
        yield second
    yield player.alloc(size, held)
    if nibbles:
        maxima = player.alloc(4 * (2 * size // 64), held)
        yield maxima
        yield maxima[0], -1
    if second is not None:
        yield second[0], -1
    yield copy[0], -1


def _account(name: str) -> str:
    return "adapters" if _is_adapter(name) else "base_weights"


def _is_adapter(name: str) -> bool:
    return ".lora_" in name or "prompt_encoder" in name or "modules_to_save" in name


def _natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Order names as a checkpoint is read: by their parts, numbers as numbers."""
    plain = name.removeprefix("base_model.model.").replace(".base_layer", "")
    return tuple((0, int(w), "") if w.isdigit() else (1, 0, w) for w in plain.split("."))


def _with_workspaces(player: Player, played: list[Mark], setting: Setting) -> Iterator[Mark]:
    """cuBLAS asks for its memory at the first product of each thread."""
    for name in player.tape.workspaces:
        biased = name.endswith("biased")
        size = setting.biased_workspace if biased else setting.workspace
        yield player.alloc(size, "workspace")
    yield from played


def _clip(player: Player, tape: Tape, sizes: Sequence[int], layers: int) -> Iterator[Mark]:
    """The gradients' norms: one for each tensor, from partial norms of the largest's count."""
    every = parameters(tape, sizes, layers)
    if not every:
        return
    pieces = max(-(-p.elements // NORM_PIECE) for p in every)
    made = [player.alloc(4, "gradients") for _ in every]
    made.append(player.alloc(4 * len(every) * pieces, "gradients"))
    yield from made
    yield from ((key, -1) for key, _ in made)


def _step(
    player: Player, needs: Sequence[Need], states: list[int], *, first: bool
) -> Iterator[Mark]:
    """The optimizer's step: states the first time, and what it needs beside them."""
    for need in needs:
        if first:
            made = [player.alloc(size, "optimizer") for size in need.state]
            states += [key for key, _ in made]
            yield from made
        if need.passing:
            yield from _passing(player, need.passing)
    during = [player.alloc(size, "optimizer") for need in needs for size in need.during]
    yield from during
    yield from ((key, -1) for key, _ in during)


def _passing(player: Player, sizes: Sequence[int]) -> Iterator[Mark]:
    made = [player.alloc(size, "optimizer") for size in sizes]
    yield from made
    yield from ((key, -1) for key, _ in made)
