"""Formats: how they are recognised, and the messages that rows become."""

from __future__ import annotations

from typing import Any

import pytest
from tiny import rows_of

from ftspec.compiler.facts.formats import ROLES, USUAL_NAMES, detect, messages_of
from ftspec.spec.formats import FIELDS


@pytest.mark.parametrize("format", FIELDS)
def test_each_format_is_recognised(format: str) -> None:
    row = rows_of(format, 1)[0]
    found = detect(list(row), row)
    assert found is not None and found[0] == format
    assert set(found[1]) == set(FIELDS[format])


@pytest.mark.parametrize(
    ("row", "format", "columns"),
    [
        (
            {"question": "a", "answer": "b"},
            "alpaca",
            {"instruction": "question", "output": "answer"},
        ),
        (
            {"instruction": "a", "context": "c", "response": "b"},
            "alpaca",
            {"instruction": "instruction", "output": "response", "input": "context"},
        ),
        (
            {"id": 1, "conversations": [{"role": "user", "content": "a"}]},
            "messages",
            {"messages": "conversations", "role": "role", "content": "content"},
        ),
        (
            {"messages": [{"from": "human", "value": "a"}]},
            "sharegpt",
            {"conversations": "messages", "from": "from", "value": "value"},
        ),
        (
            {"conversation": []},
            "sharegpt",
            {"conversations": "conversation", "from": "from", "value": "value"},
        ),
        (
            {"prompt": "a", "completion": "b", "text": "c"},
            "prompt-completion",
            {"prompt": "prompt", "completion": "completion"},
        ),
        ({"content": "a"}, "text", {"text": "content"}),
    ],
)
def test_other_names_are_recognised(
    row: dict[str, Any], format: str, columns: dict[str, str]
) -> None:
    assert detect(list(row), row) == (format, columns)


@pytest.mark.parametrize("columns", [[], ["a", "b"], ["instruction"], ["output"], ["completion"]])
def test_others_are_not(columns: list[str]) -> None:
    assert detect(columns, {}) is None


def test_the_fields_are_those_of_the_spec() -> None:
    assert set(USUAL_NAMES) == set(FIELDS)
    for format, fields in USUAL_NAMES.items():
        assert set(fields) <= set(FIELDS[format])


ALPACA = {"instruction": "instruction", "input": "input", "output": "output"}


@pytest.mark.parametrize(
    ("row", "user", "assistant"),
    [
        ({"instruction": "a", "input": "", "output": "b"}, "a", "b"),
        ({"instruction": "a", "input": "c", "output": "b"}, "a\n\nc", "b"),
        ({"instruction": "a", "input": None, "output": None}, "a", ""),
        ({"instruction": 3, "output": 0}, "3", "0"),
    ],
)
def test_alpaca_becomes_two_turns(row: dict[str, Any], user: str, assistant: str) -> None:
    assert messages_of(row, "alpaca", ALPACA, None) == [
        {"role": "user", "content": user},
        {"role": "assistant", "content": assistant},
    ]


def test_a_system_message_comes_first_unless_there_is_one() -> None:
    columns = {"messages": "messages", "role": "role", "content": "content"}
    plain = {"messages": [{"role": "user", "content": "a"}]}
    own = {"messages": [{"role": "system", "content": "b"}, *plain["messages"]]}
    assert messages_of(plain, "messages", columns, "Be kind.")[0]["content"] == "Be kind."
    assert messages_of(own, "messages", columns, "Be kind.")[0]["content"] == "b"
    assert messages_of({"messages": []}, "messages", columns, "Be kind.") == []


def test_sharegpt_s_speakers_get_the_roles_of_templates() -> None:
    columns = {"conversations": "c", "from": "who", "value": "said"}
    row = {"c": [{"who": speaker, "said": "x"} for speaker in [*ROLES, "someone"]]}
    roles = [message["role"] for message in messages_of(row, "sharegpt", columns, None)]
    assert roles == [*ROLES.values(), "someone"]


def test_formats_without_turns_have_no_messages() -> None:
    assert messages_of({"text": "a"}, "text", {"text": "text"}, "x") == []
