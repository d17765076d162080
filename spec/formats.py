"""The fields of each row format; `data.columns` maps them to a file's own columns."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

FIELDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "alpaca": ("instruction", "input", "output"),
        "sharegpt": ("conversations", "from", "value"),
        "messages": ("messages", "role", "content"),
        "prompt-completion": ("prompt", "completion"),
        "text": ("text",),
    }
)
