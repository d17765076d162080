"""Write down what a whole run allocates: loading, two optimizer steps, an evaluation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from ftspec.compiler.memory.optimizers import MAPS, OPTIMIZERS, Need, Parameter
from ftspec.compiler.memory.replay import EMPTY_CACHE, PHASE
from ftspec.compiler.memory.tape import Base, Player, Tape, Trained

NORM_PIECE = 65_536  # elements a partial norm is of (ATen cuda/ForeachReduceOp.cu)
STEPS = 2  # the second has the optimizer's states, as all later ones do

BLOCK = re.compile(r"\.\d+\.")
MERGED = (".experts.gate_up_proj", ".experts.down_proj")  # of the experts of a block
Mark = tuple[int, int | str]
OneOf = TypeVar("OneOf", Base, Trained)


@dataclass(frozen=True, slots=True)
class Setting:
    """What of a run is not on the tape.

    inputs: tensors of a micro-batch and the bytes of each; eval_inputs the same. workspace: bytes
    of cuBLAS's, one a thread; biased_workspace: of biased products'. quantized: whether weights
    are quantized on the card. transposed: checkpoints hold them turned over. experts: of a block,
    which checkpoints hold one by one; gates_first: their gates are named before what goes down.
    """

    layers: int
    accumulation: int
    optimizer: str
    inputs: tuple[int, ...]
    eval_inputs: tuple[int, ...]
    workspace: int
    biased_workspace: int
    quantized: bool
    transposed: bool = False
    experts: int = 0
    gates_first: bool = False


def events(
    player: Player, sizes: Sequence[int], setting: Setting, eval_sizes: Sequence[int] = ()
) -> Iterator[Mark]:
    """Yield the events of a run, as `replay` takes them; sizes: bytes of each of the tape's.

    eval_sizes: the same for an evaluation's batch. player: what plays the tape's passes.
    """
    yield from training(player, sizes, setting)
    yield from evaluation(player, eval_sizes or sizes, setting)


def training(player: Player, sizes: Sequence[int], setting: Setting) -> Iterator[Mark]:
    """Yield the events of a run up to its evaluation, which changes none of them."""
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
            name = "first" if number == 0 else "more"
            asked = _workspaces(tape, name, setting) if step == 0 else ()
            played, kept = player.play(name, workspaces=asked)
            gradients += kept
            yield from played
        for batch_keys in batches:
            yield from ((key, -1) for key in batch_keys)
        yield from _clip(player, tape, sizes, setting.layers)
        yield PHASE, "optimizer"
        if step == 0 and "8bit" in setting.optimizer:
            yield from (player.alloc(MAPS // 2, "optimizer") for _ in range(2))
        yield from _step(player, needs, states, first=step == 0)
        yield from ((key, -1) for key in gradients)


def evaluation(player: Player, sizes: Sequence[int], setting: Setting) -> Iterator[Mark]:
    """Yield the events of the evaluation after it, if there is one; sizes: those of its batch."""
    tape = player.tape
    if setting.eval_inputs and "evaluate" in tape.passes:
        yield PHASE, "evaluate"
        batch = [player.alloc(size, "batch") for size in setting.eval_inputs]
        yield from batch
        player.sizes = list(sizes)
        asked = _workspaces(tape, "evaluate", setting)
        yield from player.play("evaluate", workspaces=asked)[0]
        yield from ((key, -1) for key, _ in batch)


def parameters(tape: Tape, sizes: Sequence[int], layers: int) -> list[Parameter]:
    """Return the trained parameters of a model of so many blocks, in the optimizer's order.

    Norms and biases come last: Trainer puts them into a group without weight decay.
    """
    found = []
    for one, _ in _repeated(tape.trained, layers):
        shape = tuple(sizes[place] for place in one.shape)
        found.append(Parameter(shape, one.bytes_each, one.embedding))
    return sorted(found, key=lambda parameter: len(parameter.shape) == 1)


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
        yield from load_quantized(player, held, setting)
    else:  # loaded on the host, and moved as a whole
        yield from (player.alloc(size, _account(name)) for name, size in held)
    yield EMPTY_CACHE, 0


def _held(tape: Tape, sizes: Sequence[int], layers: int) -> Iterator[tuple[str, int]]:
    """Yield (name, bytes) of all that the model holds, in the order of its modules."""
    for one, layer in _repeated(tape.base, layers):
        name = one.name if layer is None else BLOCK.sub(f".{layer}.", one.name, count=1)
        yield name, sizes[one.size]


def _repeated(items: Sequence[OneOf], layers: int) -> Iterator[tuple[OneOf, int | None]]:
    """Yield (item, layer): those of a block layer by layer, where the first of them stands."""
    of_blocks = [one for one in items if one.each_block]
    for one in items:
        if not one.each_block:
            yield one, None
        elif one is of_blocks[0]:
            yield from ((item, layer) for layer in range(layers) for item in of_blocks)


class Allocating(Protocol):
    """Whatever gives allocations their keys."""

    def alloc(self, size: int, kind: str) -> tuple[int, int]:
        """Return the event of an allocation of so many bytes, for an account."""


def load_quantized(
    player: Allocating, held: Sequence[tuple[str, int]], setting: Setting
) -> Iterator[Mark]:
    """One weight after the other, by name, each from a copy that is gone afterwards.

    Experts are not quantized: those of a block are merged into one weight on the card.

    transformers 5.23 core_model_loading.py (no threads where it quantizes), modeling_utils.py
    caching_allocator_warmup; then peft's adapters in float32, which trl 1.16 casts to bfloat16
    (sft_trainer.py).
    """
    groups = _weights([item for item in held if not _is_adapter(item[0])])
    warm_up = player.alloc(sum(sizes[0] for sizes in groups.values()), "base_weights")
    yield warm_up
    yield warm_up[0], -1
    for name in sorted(groups, key=partial(_natural, gates_first=setting.gates_first)):
        sizes = groups[name]
        if len(sizes) == 1 and setting.experts and name.endswith(MERGED):
            yield from _merge(player, sizes[0], setting.experts, 2 if "gate" in name else 1)
        elif len(sizes) == 1:
            yield player.alloc(sizes[0], "base_weights")
        else:
            quantize = _quantize_8bit if len(sizes) == 2 else _quantize_4bit
            yield from quantize(player, sizes, transposed=setting.transposed)
    wide = [(player.alloc(2 * size, "adapters"), size) for name, size in held if _is_adapter(name)]
    yield from (event for event, _ in wide)
    for (key, _), size in wide:
        yield player.alloc(size, "adapters")
        yield key, -1


def _merge(player: Allocating, size: int, experts: int, projections: int) -> Iterator[Mark]:
    """A block's experts from the weights of each, projection by projection, then side by side.

    transformers 5.23 core_model_loading.py: MergeModulelist gives a projection's weights back once
    the next one is taken, Concatenate both stacks once it is done.
    """
    whole = size // projections
    read = [
        [player.alloc(whole // experts, "base_weights") for _ in range(experts)]
        for _ in range(projections)
    ]
    yield from (event for weights in read for event in weights)
    stacks = []
    for number in range(projections):
        if number:
            yield from ((key, -1) for key, _ in read[number - 1])
        stacks.append(player.alloc(whole, "base_weights"))
        yield stacks[-1]
    yield from ((key, -1) for key, _ in read[-1])
    if projections > 1:
        yield player.alloc(size, "base_weights")
        yield from ((key, -1) for key, _ in stacks)


def _weights(base: Sequence[tuple[str, int]]) -> dict[str, list[int]]:
    """Return the bytes of each weight, and of what its quantization keeps beside it."""
    names = {name.rsplit(".", 1)[0] for name, _ in base if name.endswith((".absmax", ".SCB"))}
    found: dict[str, list[int]] = {}
    for name, size in base:
        owner = name.rsplit(".", 1)[0]
        four = owner in names and owner.endswith(".weight")
        eight = owner in names and name.endswith(".SCB")
        found.setdefault(owner if four else f"{owner}.weight" if eight else name, []).append(size)
    return found


def _quantize_4bit(player: Allocating, sizes: Sequence[int], *, transposed: bool) -> Iterator[Mark]:
    """A weight from its two-byte copy, turned over first if it is transposed (GPT-2's Conv1D).

    bitsandbytes 0.50 functional.py quantize_4bit and quantize_blockwise: the blocks' maxima; with
    double quantization these and their distances from the mean are gone in the end.
    """
    weight, absmax, *rest = sizes
    copies = [player.alloc(4 * weight, "base_weights") for _ in range(1 + transposed)]
    yield from copies
    if len(rest) == 1:  # the code
        yield from (player.alloc(size, "base_weights") for size in (absmax, weight, *rest))
    else:
        code, offset, nested, table = rest
        maxima = player.alloc(4 * absmax, "base_weights")
        yield maxima
        yield from (player.alloc(size, "base_weights") for size in (weight, code, offset))
        distances = player.alloc(4 * absmax, "base_weights")
        yield distances
        yield from (player.alloc(size, "base_weights") for size in (nested, absmax, table))
        yield distances[0], -1
        yield maxima[0], -1
    yield from ((key, -1) for key, _ in reversed(copies))


def _quantize_8bit(player: Allocating, sizes: Sequence[int], *, transposed: bool) -> Iterator[Mark]:
    """A weight from its two-byte copy, by way of the host, and a float16 one.

    transformers 5.23 integrations/bitsandbytes.py Bnb8bitQuantize; bitsandbytes 0.50
    `int8_vectorwise_quant`.
    """
    weight, scales = sizes
    copies = [player.alloc(2 * weight, "base_weights") for _ in range(2)]
    yield from copies
    yield from (player.alloc(size, "base_weights") for size in (scales, weight))
    yield from ((key, -1) for key, _ in reversed(copies))


def _account(name: str) -> str:
    return "adapters" if _is_adapter(name) else "base_weights"


def _is_adapter(name: str) -> bool:
    return ".lora_" in name or "prompt_encoder" in name or "modules_to_save" in name


def _natural(name: str, *, gates_first: bool = False) -> tuple[tuple[int, int, str], ...]:
    """Order names as a checkpoint is read: by their parts, numbers as numbers."""
    plain = name.removeprefix("base_model.model.").replace(".base_layer", "")
    if gates_first:  # w1 and w3 are the gate and what goes up, w2 what goes down
        plain = plain.replace("experts.gate_up_proj", "experts.0.w1")
    return tuple((0, int(w), "") if w.isdigit() else (1, 0, w) for w in plain.split("."))


def _workspaces(tape: Tape, name: str, setting: Setting) -> list[tuple[str, int, int]]:
    """Return what a pass asks for on behalf of cuBLAS, as `Player.play` takes it."""
    plain, biased = setting.workspace, setting.biased_workspace
    return [
        (one.segment, one.after, biased if one.name.endswith("biased") else plain)
        for one in tape.asked
        if one.played == name
    ]


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
