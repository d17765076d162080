"""Every family of decoders known here, by the `model_type` of its config.json.

Source: transformers 5.23, `models/<architecture>/modeling_*.py` and `configuration_*.py`; the
tests build every family there and compare.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ftspec.compiler.facts.architecture import Architecture
from ftspec.compiler.facts.dense import DENSE
from ftspec.compiler.facts.mixtures import SPARSE

__all__ = ["ARCHITECTURES", "Architecture"]

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType({**DENSE, **SPARSE})
