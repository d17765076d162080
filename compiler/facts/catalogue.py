"""Shapes of public models, so that memory can be predicted from a hub id without the hub.

`models.json` holds, for each id, the keys of its public `config.json` that shape memory, the
count of parameters (a tied weight counted once, as transformers builds the model) and the size
that its authors publish. Twins of one shape share an entry through `aliases`. Ids compare without
regard to case, as on the hub. `checked` names the public tables in `TABLES` whose widths agree.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

# Below this likeness (difflib's ratio) a "did you mean" misleads more than it helps.
LIKENESS = 0.5

# Tables of widths by others, with the state that was compared.
TABLES: Mapping[str, str] = MappingProxyType(
    {
        "litgpt": "github.com/Lightning-AI/litgpt, litgpt/config.py, 0.5.13",
        "llm-analysis": "github.com/cli99/llm-analysis, model_configs, d841e40",
        "maxtext": "github.com/AI-Hypercomputer/maxtext, hf_model_configs.py, e591f30",
        "mlc-llm": "github.com/mlc-ai/mlc-llm, model_preset.py, 79d603f",
    }
)


class KnownModel(NamedTuple):
    """One entry: `published` is the size that its authors give, such as `8.03B`."""

    id: str
    aliases: tuple[str, ...]
    published: str
    parameters: int
    source: str
    checked: tuple[str, ...]
    config: Mapping[str, Any]


def known_model(hub_id: str) -> KnownModel | None:
    """Return the entry of a model, by its id or an alias; None for an unknown id."""
    found = _by_name().get(hub_id.strip().casefold())
    if found is None:
        return None
    entry = _rows()[found]
    return KnownModel(
        found,
        tuple(entry.get("aliases", ())),
        entry["published"],
        int(entry["parameters"]),
        entry["source"],
        tuple(entry.get("checked", ())),
        deepcopy(entry["config"]),
    )


def known_models() -> tuple[KnownModel, ...]:
    """List every entry once, makers together."""
    return tuple(model for hub_id in _rows() if (model := known_model(hub_id)) is not None)


def known_config(hub_id: str) -> dict[str, Any] | None:
    """Return the memory-shaping keys of a model's `config.json`, or None for an unknown id."""
    model = known_model(hub_id)
    return None if model is None else dict(model.config)


def known_parameters(hub_id: str) -> int | None:
    """Return a model's count of parameters, tied weights counted once, or None."""
    model = known_model(hub_id)
    return None if model is None else model.parameters


def known_ids() -> tuple[str, ...]:
    """List every known hub id, aliases among them, in alphabetical order."""
    every = (name for hub_id, entry in _rows().items() for name in _names(hub_id, entry))
    return tuple(sorted(every, key=str.casefold))


def nearest_ids(text: str, count: int = 3) -> tuple[str, ...]:
    """List the ids closest in spelling, nearest first; the owner may be left out."""
    from difflib import SequenceMatcher

    asked = text.strip().casefold()

    def likeness(hub_id: str) -> float:
        full = hub_id.casefold()
        spelling = full if "/" in asked else full.rpartition("/")[2]
        return SequenceMatcher(None, asked, spelling).ratio()

    scored = [(likeness(hub_id), hub_id) for hub_id in known_ids()]
    near = [pair for pair in scored if pair[0] >= LIKENESS]
    ranked = sorted(near, key=lambda pair: pair[0], reverse=True)
    return tuple(hub_id for _, hub_id in ranked[:count])


@cache
def _rows() -> dict[str, dict[str, Any]]:
    text = Path(__file__).with_name("models.json").read_text(encoding="utf-8")
    rows: dict[str, dict[str, Any]] = json.loads(text)
    return rows


@cache
def _by_name() -> dict[str, str]:
    return {
        name.casefold(): hub_id
        for hub_id, entry in _rows().items()
        for name in _names(hub_id, entry)
    }


def _names(hub_id: str, entry: dict[str, Any]) -> tuple[str, ...]:
    return (hub_id, *entry.get("aliases", ()))
