"""The versions that the emitted scripts are tested with; they go into `requirements.txt`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

TESTED_WITH: Mapping[str, str] = MappingProxyType(
    {
        "accelerate": "1.15.0",
        "bitsandbytes": "0.50.2",
        "datasets": "5.2.0",
        "gguf": "0.19.0",
        "peft": "0.21.2",
        "sacrebleu": "2.6.0",
        "torch": "2.13.0",
        "transformers": "5.23.0",
        "trl": "1.16.0",
    }
)
