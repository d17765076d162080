"""Where nothing fits: the smallest card that would do, the largest model for this one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ftspec.compiler.draft import Draft
from ftspec.compiler.facts.catalogue import KnownModel, known_models
from ftspec.compiler.facts.config import ModelUnreadableError, shape_of
from ftspec.compiler.facts.gpus import Gpu, find_gpu
from ftspec.compiler.facts.hardware import named
from ftspec.compiler.facts.model import ModelFacts
from ftspec.compiler.tune.ladder import Decide, climb, with_values

# A card of each size that is sold or rented, the smallest first.
CARDS = (
    "rtx-3060",
    "t4",
    "rtx-4090",
    "rtx-5090",
    "a100-40gb",
    "l40s",
    "a100-80gb",
    "rtx-pro-6000",
    "h200",
    "b200",
    "b300",
)
TRIED = 6  # models, the largest first, before it is given up


@dataclass(frozen=True, slots=True)
class Alternatives:
    """What would do instead; None where nothing in the catalogues does."""

    card: Gpu | None = None
    model: KnownModel | None = None


def alternatives(start: Draft, draft: Draft, decide: Decide) -> Alternatives:
    """Return the smallest card on which a spec fits as it is, and the largest model for this one.

    start: the draft before the passes; draft: after them. Both may take the rungs that leave what
    is learnt alone.
    """
    return Alternatives(_card(start, draft, decide), _model(start, draft, decide))


def _card(start: Draft, draft: Draft, decide: Decide) -> Gpu | None:
    gpu = draft.hardware.gpu
    if gpu is None:
        return None
    spec = with_values(start.spec, {"hardware.vram_limit": None, "hardware.gpu": None})
    larger = [card for card in _cards() if card.usable_bytes > draft["memory"].free_bytes]
    larger = [card for card in larger if card.bf16 or not gpu.bf16]
    low, high = 0, len(larger)
    while low < high:
        middle = (low + high) // 2
        hardware = named(larger[middle], len(draft.hardware.cards))
        if _fits(replace(start, spec=spec, hardware=hardware), decide):
            high = middle
        else:
            low = middle + 1
    return larger[low] if low < len(larger) else None


def _model(start: Draft, draft: Draft, decide: Decide) -> KnownModel | None:
    """Models of the same architecture come first: they are the nearest to what was asked."""
    own, shape = draft.model.parameters, draft.model.shape
    if own is None or shape is None or draft.hardware.gpu is None:
        return None
    least = 0.5 if draft["method.quantization"] in ("nf4", "fp4") else 2.0
    room = draft["memory"].free_bytes / least
    smaller = [m for m in known_models() if m.parameters < min(own, room)]
    alike = [m for m in smaller if m.config.get("model_type") == shape.architecture]
    for models in (alike, smaller):
        for model in sorted(models, key=lambda m: m.parameters, reverse=True)[:TRIED]:
            facts = _facts(model)
            if facts is not None and _fits(replace(start, model=facts), decide):
                return model
    return None


def _facts(model: KnownModel) -> ModelFacts | None:
    try:
        shape = shape_of(model.config, model.id)
    except ModelUnreadableError:
        return None
    return ModelFacts(
        model.id, "catalogue", shape=shape, parameters=model.parameters, config=model.config
    )


def _fits(start: Draft, decide: Decide) -> bool:
    draft = decide(replace(start, tracer=None))
    if draft["memory"].verdict == "fits":
        return True
    steps = climb(start, draft, decide, ())
    return bool(steps) and steps[-1].after["memory"].verdict == "fits"


def _cards() -> Iterator[Gpu]:
    for name in CARDS:
        card = find_gpu(name)
        if card is not None:
            yield card
