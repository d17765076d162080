"""A tape made by hand: a block keeps one tensor for its backward, and trains one weight."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from ftspec.compiler.facts.shape import Shape
from ftspec.compiler.memory.tape import ROLES, Asked, Base, Segment, Tape, Trained
from ftspec.compiler.memory.work import Work

HIDDEN, WEIGHT, LOGITS, WIDTH = 0, 1, 2, 3  # places in `sizes`
FORWARD, BACKWARD, DEQUANTIZED = 0, 1, 2  # places in `tags`


def product(coefficient: int, **powers: int) -> tuple[str, Any]:
    """A size: coefficient x product of symbols."""
    return ("product", (Fraction(coefficient), tuple(powers.items())))


SIZES = (product(2, B=1, S=1, H=1), product(2, H=2), product(2, B=1, S=1, V=1), product(1, H=1))


def make_tape(**changed: Any) -> Tape:
    """Make the tape; `changed`: fields of its own."""
    fields: dict[str, Any] = {
        "sizes": SIZES,
        "tags": ("forward:aten::mm", "backward:aten::mm", "forward:bitsandbytes::gemm_4bit"),
        "base": (
            Base("model.embed_tokens.weight", LOGITS, False),
            Base("model.layers.1.mlp.weight", WEIGHT, True),
            Base("model.norm.weight", WIDTH, False),
        ),
        "trained": (Trained("model.layers.1.mlp.weight", (WIDTH, WIDTH), 2, False, True),),
        "passes": {"first": training(), "more": training(), "evaluate": evaluation()},
        "gradients": {f"{name}.B.{role}": (0,) for name in ("first", "more") for role in ROLES},
        "asked": (Asked("forward", "first", "F.first", 1), Asked("backward", "first", "turn", 1)),
    }
    return Tape(**{**fields, **changed})


def training() -> dict[str, Segment]:
    """A micro-step: each block's input is kept until its backward."""
    found: dict[str, Segment] = {"before": ((HIDDEN, FORWARD),)}
    for role in ROLES:
        found[f"F.{role}"] = ((HIDDEN, FORWARD),)
        gone = ("turn", "", 0) if role == "last" else ("B", 1, 1)
        found[f"B.{role}"] = ((WEIGHT, BACKWARD), (HIDDEN, BACKWARD), ("F", 0, 0), gone)
    found["head"] = ((LOGITS, FORWARD),)
    found["turn"] = ((HIDDEN, BACKWARD), ("head", "", 0))
    return found


def evaluation() -> dict[str, Segment]:
    """A forward pass that keeps nothing."""
    found: dict[str, Segment] = {"before": ((HIDDEN, FORWARD),)}
    for role in ROLES:
        gone = ("before", "", 0) if role == "first" else ("F", -1, 0)
        found[f"F.{role}"] = ((HIDDEN, FORWARD), gone)
    found["head"] = ((LOGITS, FORWARD), ("head", "", 0))
    found["turn"] = ()
    return found


def make_shape(**changed: Any) -> Shape:
    """A small llama, whose hidden width is 256."""
    fields: dict[str, Any] = {
        "architecture": "llama",
        "layers": 8,
        "hidden": 256,
        "ffn": 512,
        "heads": 4,
        "kv_heads": 4,
        "head_dim": 64,
        "vocab": 1024,
        "tied": True,
        "positions": 512,
    }
    return Shape(**{**fields, **changed})


def make_work(shape: Shape | None = None, **changed: Any) -> Work:
    """Full fine-tuning of that model in bfloat16."""
    shape = shape or make_shape()
    fields: dict[str, Any] = {
        "shape": shape,
        "parameters": shape.parameters,
        "method": "full",
        "batch": 2,
        "length": 64,
        "dtype": "bfloat16",
        "autocast": "bfloat16",
    }
    return Work(**{**fields, **changed})
