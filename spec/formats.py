"""The fields of each row format; `data.columns` maps them to a file's own columns."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ftspec.spec.model import Format

FIELDS: Mapping[Format, tuple[str, ...]] = MappingProxyType(
    {
        "alpaca": ("instruction", "output", "input"),
        "sharegpt": ("conversations", "from", "value"),
        "messages": ("messages", "role", "content"),
        "prompt-completion": ("prompt", "completion"),
        "text": ("text",),
    }
)
