"""A set-up as JSON, for the tracer's process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ftspec.compiler.facts.shape import Latent, Shape
from ftspec.compiler.memory.work import Work


def as_json(work: Work) -> dict[str, Any]:
    """Return a set-up's fields as plain values."""
    return asdict(work)


def work_of(fields: Mapping[str, Any]) -> Work:
    """Return the set-up that `as_json` wrote."""
    shape = dict(fields["shape"])
    if shape.get("latent"):
        shape["latent"] = Latent(**shape["latent"])
    listed = {name: tuple(fields[name]) for name in ("targets", "modules_to_save")}
    return Work(**{**fields, **listed, "shape": Shape(**shape)})
