"""The five row formats: their fields, how they are recognised, and what they say.

The emitted scripts hold the same conversions as plain code; a test keeps the two alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

Row = Mapping[str, Any]
Message = dict[str, str]

# The fields without which a row is of no use.
REQUIRED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "alpaca": ("instruction", "output"),
        "sharegpt": ("conversations",),
        "messages": ("messages",),
        "prompt-completion": ("prompt", "completion"),
        "text": ("text",),
    }
)
# Other names of the same columns, tried in this order: format -> field -> names.
USUAL_NAMES: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "alpaca": {
            "instruction": ("instruction", "question"),
            "output": ("output", "answer", "response"),
            "input": ("input", "context"),
        },
        "sharegpt": {"conversations": ("conversations", "conversation")},
        "messages": {"messages": ("messages",)},
        "prompt-completion": {"prompt": ("prompt",), "completion": ("completion",)},
        "text": {"text": ("text", "content")},
    }
)
# sharegpt's speakers -> roles of a chat template.
ROLES: Mapping[str, str] = MappingProxyType(
    {
        "human": "user",
        "user": "user",
        "gpt": "assistant",
        "chatgpt": "assistant",
        "assistant": "assistant",
        "bing": "assistant",
        "bard": "assistant",
        "system": "system",
        "tool": "tool",
        "function_call": "assistant",
        "observation": "tool",
    }
)

# Rendered where a tokenizer has no chat template of its own. It is stated in the script.
PLAIN_TEMPLATE = """\
{% for message in messages %}
{% if message['role'] == 'assistant' %}
{{- '### Assistant:\\n' + message['content'] + eos_token + '\\n' -}}
{% elif message['role'] == 'user' %}
{{- '### User:\\n' + message['content'] + '\\n\\n' -}}
{% else %}
{{- message['content'] + '\\n\\n' -}}
{% endif %}
{% endfor %}
{% if add_generation_prompt %}
{{- '### Assistant:\\n' -}}
{% endif %}
"""


def detect(columns: Sequence[str], first: Row) -> tuple[str, dict[str, str]] | None:
    """Recognise the format from the columns and the first row.

    Returns the format and, for each of its fields that is there, the file's column; None
    where the columns are of no known format.
    """
    for name in ("messages", "sharegpt", "alpaca", "prompt-completion", "text"):
        found = columns_of(name, columns)
        if found is None:
            continue
        if name in ("messages", "sharegpt"):
            return (_conversation_kind(found, first, name), _inner(found, first, name))
        return name, found
    return None


def columns_of(name: str, columns: Sequence[str]) -> dict[str, str] | None:
    """Map the fields of a format to the columns of a file; None where a required one lacks."""
    found = {}
    for field, names in USUAL_NAMES[name].items():
        for candidate in names:
            if candidate in columns:
                found[field] = candidate
                break
    return found if all(field in found for field in REQUIRED[name]) else None


def _conversation_kind(found: Mapping[str, str], first: Row, name: str) -> str:
    turns = first.get(next(iter(found.values())))
    if isinstance(turns, list) and turns and isinstance(turns[0], dict):
        return "messages" if "role" in turns[0] else "sharegpt"
    return name


def _inner(found: dict[str, str], first: Row, name: str) -> dict[str, str]:
    column = next(iter(found.values()))
    if _conversation_kind(found, first, name) == "messages":
        return {"messages": column, "role": "role", "content": "content"}
    return {"conversations": column, "from": "from", "value": "value"}


def messages_of(
    row: Row, format: str, columns: Mapping[str, str], system: str | None
) -> list[Message]:
    """Return a row as messages with `role` and `content`; empty for formats without roles."""
    if format == "alpaca":
        parts = [_text(row.get(columns["instruction"])), _text(row.get(columns.get("input", "")))]
        messages = [
            {"role": "user", "content": "\n\n".join(part for part in parts if part)},
            {"role": "assistant", "content": _text(row.get(columns["output"]))},
        ]
    elif format == "sharegpt":
        messages = [
            {
                "role": ROLES.get(str(turn.get(columns["from"])), str(turn.get(columns["from"]))),
                "content": _text(turn.get(columns["value"])),
            }
            for turn in row.get(columns["conversations"]) or []
        ]
    elif format == "messages":
        messages = [
            {"role": str(turn.get(columns["role"])), "content": _text(turn.get(columns["content"]))}
            for turn in row.get(columns["messages"]) or []
        ]
    else:
        return []
    if system and messages and messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": system})
    return messages


def _text(value: Any) -> str:
    return "" if value is None else str(value)
