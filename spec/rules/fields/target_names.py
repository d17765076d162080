"""The names in `target_modules`, where it is a list and no preset."""

from __future__ import annotations

from ftspec.spec.finding import Route
from ftspec.spec.model import TARGET_PRESETS, Method


def named_targets(method: Method) -> tuple[str, ...]:
    """Return the module names of a LoRA method; empty where a preset or nothing stands there."""
    targets = method.target_modules or ()
    if method.type not in ("lora", "qlora"):
        return ()
    if len(targets) == 1 and targets[0] in TARGET_PRESETS:
        return ()
    return targets


def item_route(method: Method, place: int) -> Route:
    """Return the route of one name; a single name may stand there without a list."""
    alone = len(method.target_modules or ()) == 1
    return ("method", "target_modules") if alone else ("method", "target_modules", place)
