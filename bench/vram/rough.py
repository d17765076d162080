"""A rough size of a case, so that the grid stays on one card: no prediction, and no claim."""

from __future__ import annotations

from functools import cache

from cases import Case, config_of

from ftspec.compiler.facts import catalogue
from ftspec.compiler.facts.model import Shape, shape_of

GIB = 2**30


@cache
def shape_and_size(model: str) -> tuple[Shape, float]:
    """Return a model's widths, and its parameters as far as its blocks are kept."""
    name = model.partition(":")[0]
    shape = shape_of(config_of(model), name)
    whole = shape_of(config_of(name), name)
    size = float(catalogue.known_parameters(name) or 0)
    ends = (1 if shape.tied else 2) * shape.vocab * shape.hidden
    return shape, ends + (size - ends) * shape.layers / whole.layers


def rough_flops(case: Case) -> float:
    """Return the floating-point operations of one optimizer step: 8 a parameter and token."""
    _, size = shape_and_size(case.model)
    return 8 * size * case.batch * case.length * case.accumulation


def rough_bytes(case: Case) -> int:
    """Return about what a run takes, within a factor of two."""
    shape, size = shape_and_size(case.model)
    tokens = case.batch * case.length
    if case.method == "full":
        static = size * (18 if case.dtype == "float32" else 10)
    elif case.quantization == "none":
        static = size * (4 if case.dtype == "float32" else 2)
    else:
        ends = 2 * shape.vocab * shape.hidden
        static = max(size - ends, 0.0) * (1.1 if case.quantization == "int8" else 0.6) + 2 * ends
    if case.r:
        static += 12 * case.r * shape.layers * 2 * (6 * shape.hidden + 3 * shape.ffn)
    if case.saved:
        static += 16 * shape.vocab * shape.hidden
    block = tokens * (24 * shape.hidden + 10 * shape.ffn) * (1.5 if case.dtype == "float32" else 1)
    block *= 3 if shape.experts else 1
    square = (tokens if case.rows == "packed" else case.length) * tokens
    scores = 10 * shape.heads * square if case.attention == "eager" else 0
    scores += 3 * square if case.rows != "uniform" else 0
    kept = 1 if case.checkpointing else shape.layers
    saved = kept * (block + scores) + scores + shape.layers * 3 * shape.hidden * tokens
    logits = (20 if case.label_smoothing else 0) * tokens * shape.vocab + 12 * tokens * shape.hidden
    evaluated = case.eval_batch * case.length
    if case.attention == "eager":
        saved = max(saved, 14 * shape.heads * evaluated * case.length)
    logits = max(logits, (20 if case.label_smoothing else 0) * evaluated * shape.vocab)
    return int(static + saved + logits + 1.5 * GIB)
