"""Record tapes: trace a model whose widths are coded, fold its blocks, read the symbols back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

from ftspec.compiler.memory.symbols import Symbol, decode
from ftspec.compiler.memory.tape import Tape
from ftspec.compiler.memory.trace.calls import Call
from ftspec.compiler.memory.trace.fold import LAYERS, fold
from ftspec.compiler.memory.trace.run import Coded, trace
from ftspec.compiler.memory.work import Work

BATCH, LENGTH, VIRTUAL, RANK = 23, 971, 656, 29
TOKEN_CHUNK, VOCAB_CHUNK = 16960, 2752  # two tiles of tokens and two of words: see `sizes`
COUNTED = 22300  # positions that count in the loss, of the batch's 23 x 970
# Packed rows have fewer tokens here, and must not fit into one tile either.
PACKED_CHUNK, PACKED_COUNTED = 524, 955
# Any two widths' product is a multiple of 16,384: whole blocks of 64 x 256 for bitsandbytes.
HIDDEN, FFN = 128 * 101, 128 * 103
KV_HEADS, GROUP, HEAD = 16 * 11, 57, 104
VOCAB, POSITIONS = 3504, 64 * 149


def symbols(work: Work, *, hidden: bool, grouped: bool) -> tuple[Symbol, ...]:
    """Return the symbols of a coded trace. hidden: the hidden width is one of its own."""
    rows = _rows(work)
    found = [
        Symbol("S", LENGTH, 971),
        Symbol("S1", LENGTH - 1, 97),
        Symbol("S8", 976, 61),
        Symbol("S32", 992, 31),
        Symbol("I", FFN, 103),
        Symbol("K", KV_HEADS, 11),
        Symbol("D", HEAD, 13),
        Symbol("V", VOCAB, 73),
        Symbol("cv", VOCAB_CHUNK, 43),
        Symbol("rv", VOCAB - VOCAB_CHUNK, 47),
        Symbol("ct", PACKED_CHUNK, 131) if work.packed else Symbol("ct", TOKEN_CHUNK, 53),
        Symbol("P", POSITIONS, 149),
        Symbol("L", LAYERS, 7),
    ]
    if work.packed:
        found += [
            Symbol("N", PACKED_COUNTED, 191),
            Symbol("rt", PACKED_COUNTED - PACKED_CHUNK, 431),
        ]
    else:
        found += [Symbol("N", COUNTED, 223), Symbol("rt", COUNTED - TOKEN_CHUNK, 89)]
    found += [Symbol("B", rows, 23)] if rows > 1 else []
    found += [Symbol("H", HIDDEN, 101)] if hidden else []
    found += [Symbol("G", GROUP, 19), Symbol("G2", GROUP + 2, 59)] if grouped else []
    found += [Symbol("r", RANK, 29)] if work.rank else []
    if work.virtual_tokens:
        found += [
            Symbol("v", VIRTUAL, 41),
            Symbol("T", LENGTH + VIRTUAL, 1627),
            Symbol("T1", LENGTH + VIRTUAL - 1, 271),
            Symbol("T8", 1632, 17),
        ]
    return tuple(found)


def record(config: Mapping[str, Any], work: Work, backend: str) -> Tape:
    """Return the tape of `work`'s regime, with sizes in symbols.

    Raises NotFoldedError, NotDecodedError, or what the libraries raise.
    """
    grouped = work.shape.kv_heads != work.shape.heads
    own_width = _independent(work)
    coded = Coded(
        overrides=_overrides(config, work, grouped=grouped, own_width=own_width),
        chunks=(PACKED_CHUNK if work.packed else TOKEN_CHUNK, VOCAB_CHUNK),
        counted=PACKED_COUNTED if work.packed else COUNTED,
        backend=backend,
    )
    rows = _rows(work)
    small = replace(
        work,
        batch=rows,
        padded=work.padded and work.batch > 1,  # a single row has no mask
        length=LENGTH,
        rank=RANK if work.rank else 0,
        virtual_tokens=VIRTUAL if work.virtual_tokens else 0,
        accumulation=2,
        eval_batch=rows,
        eval_length=0,  # as long and as padded as in training: the regime holds no more
        eval_padded=None,
    )
    traced = trace(config, small, (9, 0), coded)
    tape = fold(traced)
    known = symbols(work, hidden=own_width, grouped=grouped)
    sizes = tuple(_symbolic(size, traced.calls, known) for size in tape.sizes)
    return replace(tape, sizes=sizes)


def _rows(work: Work) -> int:
    """Return the rows of a coded batch; packed ones lie in a single row."""
    return 1 if work.packed else BATCH


def _independent(work: Work) -> bool:
    """Whether transformers lets the hidden width differ from all heads' width."""
    family = work.shape.family
    return family is None or not (family.conv1d or work.shape.architecture in HEADS_FILL_WIDTH)


HEADS_FILL_WIDTH = ("opt", "gpt_neox", "falcon", "bloom", "phi", "stablelm", "olmo", "gpt2")


def _overrides(
    config: Mapping[str, Any], work: Work, *, grouped: bool, own_width: bool
) -> dict[str, Any]:
    heads = KV_HEADS * (GROUP if grouped else 1)
    width = HIDDEN if own_width else heads * HEAD
    return {
        "hidden_size": width,
        "word_embed_proj_dim": width,
        "intermediate_size": FFN,
        "ffn_dim": FFN,
        "ffn_hidden_size": FFN,
        "n_inner": FFN,
        "num_attention_heads": heads,
        "num_key_value_heads": heads // GROUP if grouped else heads,
        "head_dim": HEAD,
        "vocab_size": VOCAB,
        "max_position_embeddings": POSITIONS,
        "num_hidden_layers": LAYERS,
        "sliding_window": 10**6,
        "pad_token_id": None,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }


def _symbolic(size: Any, calls: list[Call], known: tuple[Symbol, ...]) -> Any:
    if size[0] == "bytes":
        return ("product", decode(size[1], known)) if size[1] else ("product", (Fraction(0), ()))
    call = calls[size[1]]
    args = tuple(_coded(one, known) for one in call.args)
    kwargs = tuple((name, _coded(one, known)) for name, one in call.kwargs)
    out = tuple(_coded(one, known) for one in call.out)
    return ("call", (call.name, args, kwargs, out), size[2])


def _coded(one: Any, known: tuple[Symbol, ...]) -> Any:
    """Write an argument with symbols: tensors' shapes, and numbers that are sizes."""
    if isinstance(one, tuple) and one[:1] == ("tensor",):
        shape = tuple(decode(n, known) for n in one[1])
        return ("tensor", shape, *one[2:])
    if isinstance(one, tuple):
        return ("list", tuple(_coded(item, known) for item in one))
    if isinstance(one, int) and not isinstance(one, bool) and abs(one) > 64:
        return ("size", decode(one, known))
    return ("value", one)
