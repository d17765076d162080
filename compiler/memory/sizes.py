"""The bytes of a tape's sizes, for a model and a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ftspec.compiler.memory.symbols import TOKEN_CHUNK, VOCAB_CHUNK, Monomial, evaluate
from ftspec.compiler.memory.tape import Tape
from ftspec.compiler.memory.trace.calls import Call, inside
from ftspec.compiler.memory.trace.cards import Capability
from ftspec.compiler.memory.work import Work


def values(work: Work, rows: int, *, training: bool = True) -> dict[str, int]:
    """Return the value of each symbol; rows: of the batch (the micro-batch, or evaluation's)."""
    shape = work.shape
    length = work.length
    if work.packed:  # packed rows are flattened into one (trl DataCollatorForLanguageModeling)
        rows, length = 1, rows * length
    long = length + work.virtual_tokens
    group = shape.heads // shape.kv_heads
    counted = rows * (length if work.method == "prompt" else length - 1)
    if training and work.counted:
        counted = min(counted, work.counted)
    return {
        "B": rows,
        "S": length,
        "S1": length - 1,
        "S8": _up(length, 8),
        "S32": _up(length, 32),
        "T": long,
        "T1": long - 1,
        "T8": _up(long, 8),
        "v": work.virtual_tokens,
        "H": shape.hidden,
        "I": shape.ffn,
        "K": shape.kv_heads,
        "G": group,
        "G2": group + 2,
        "D": shape.head_dim,
        "V": shape.vocab,
        "P": shape.positions,
        "L": shape.layers,
        "r": work.rank,
        "N": counted,
        "cv": min(shape.vocab, VOCAB_CHUNK),
        "rv": _further_words(shape.vocab, counted),
        "ct": min(counted, TOKEN_CHUNK),
        "rt": min(max(0, counted - TOKEN_CHUNK), TOKEN_CHUNK),
    }


def sizes(
    tape: Tape, work: Work, rows: int, capability: Capability, *, training: bool = True
) -> list[int]:
    """Return the bytes of each of the tape's sizes, in training or in evaluation."""
    symbols = values(work, rows, training=training)
    done: dict[Any, list[int]] = {}
    found = []
    for kind, what, *place in tape.sizes:
        if kind == "product":
            found.append(evaluate(what, _tiled(what, symbols)))
            continue
        if what not in done:
            done[what] = _inside(what, symbols, capability)
        blocks = done[what]
        found.append(blocks[place[0]] if place[0] < len(blocks) else 0)
    return found


def _further_words(vocab: int, counted: int) -> int:
    """Return the width of the chunk of words that comes after the first one; 0: there is none.

    A tape has two chunks of words and two of tokens: at most two of a kind lie there at once, and
    of more than two the first two are the largest. Where one chunk holds all words, the second
    stands for the same words and the next tokens, if there are any.
    """
    if vocab > VOCAB_CHUNK:
        return min(vocab - VOCAB_CHUNK, VOCAB_CHUNK)
    return vocab if counted > TOKEN_CHUNK else 0


def _tiled(what: Monomial, symbols: Mapping[str, int]) -> Mapping[str, int]:
    """Widen a tile of logits: it is as wide as a chunk, however few words a model has.

    trl 1.16 kernels/chunked_logprob.py, `mm_buf`; chunks of the head's weight end with it.
    """
    names = {name for name, _ in what[1]}
    return {**symbols, "cv": VOCAB_CHUNK} if {"ct", "cv"} <= names else symbols


def _inside(what: Sequence[Any], symbols: Mapping[str, int], capability: Capability) -> list[int]:
    name, args, kwargs, out = what
    call = Call(
        name,
        tuple(_value(one, symbols) for one in args),
        tuple((key, _value(one, symbols)) for key, one in kwargs),
        tuple(_value(one, symbols) for one in out),
    )
    return inside(call, capability)


def _value(one: Any, symbols: Mapping[str, int]) -> Any:
    kind, what = one[0], one[1]
    if kind == "tensor":
        return ("tensor", tuple(evaluate(size, symbols) for size in what), *one[2:])
    if kind == "list":
        return tuple(_value(item, symbols) for item in what)
    return evaluate(what, symbols) if kind == "size" else what


def _up(size: int, to: int) -> int:
    return -(-size // to) * to
