"""From a row as read to an example: texts, turns, and what is wrong with its form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ftspec.compiler.facts.formats import REQUIRED, ROLES, USUAL_NAMES
from ftspec.doctor.data.example import Example, Flaw, Turn, content_text
from ftspec.doctor.data.layout import CHAT, LABELS, Layout, Layouts
from ftspec.doctor.data.record import Record

KNOWN_ROLES = {
    **ROLES,
    "developer": "system",
    "function": "tool",
    "tool_call": "assistant",
    "tool_response": "tool",
    "model": "assistant",
    "ai": "assistant",
}


def shape(record: Record, layouts: Layouts) -> Example:
    """Return a row as an example; one that cannot be used says why in its flaws."""
    if record.fault is not None:
        return Example(record)
    row = record.value
    if not isinstance(row, dict):
        return Example(record, flaws=(_wrong(f"the row is {kind_of(row)}, not an object"),))
    layout = layouts.of(row)
    if layout is None:
        return Example(record, flaws=(_missing(row, layouts),))
    if layout.format in CHAT:
        example = _chat(record, row, layout)
    elif layout.format == "preference":
        example = _preference(record, row, layout)
    else:
        example = _fields(record, row, layout)
    for name in LABELS:
        if name in row:
            value = row[name]
            if isinstance(value, str | int | bool):
                example.label = str(value)
                example.chosen = example.chosen or isinstance(value, bool)
            break
    example.usable = not any(flaw.rule in ("wrong-type", "missing-field") for flaw in example.flaws)
    if example.usable:
        example.prepare()
    return example


def kind_of(value: Any) -> str:
    """Return what a value is, in JSON's words."""
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    words = {str: "a string", list: "an array", dict: "an object", type(None): "null"}
    return words.get(type(value), f"a {type(value).__name__}")


def _wrong(words: str) -> Flaw:
    return Flaw("wrong-type", words)


def _missing(row: Mapping[str, Any], layouts: Layouts) -> Flaw:
    """Say which field a row lacks of the format that the other rows have."""
    there = ", ".join(f"`{key}`" for key in list(row)[:6]) or "nothing"
    main = layouts.main
    if main is None:
        return Flaw("missing-field", f"has {there}: no known format")
    lacking = [
        column
        for name, column in main.columns.items()
        if column not in row
        and name in (*REQUIRED.get(main.format, ()), "chosen", "rejected")
        and not any(other in row for other in USUAL_NAMES.get(main.format, {}).get(name, ()))
    ]
    words = ", ".join(f"`{column}`" for column in lacking) or f"the columns of `{main.format}`"
    return Flaw("missing-field", f"lacks {words}; it has {there}")


def _fields(record: Record, row: Mapping[str, Any], layout: Layout) -> Example:
    """Read alpaca, prompt-completion (also as turns) and text."""
    columns, format = layout.columns, layout.format
    if format == "prompt-completion" and isinstance(row[columns["prompt"]], list):
        turns = [row[columns["prompt"]], row[columns["completion"]]]
        if all(isinstance(part, list) for part in turns):
            joined = [*turns[0], *turns[1]]
            return _turns(record, joined, format, _keys_of_turn(joined))
    flaws: list[Flaw] = []
    texts: dict[str, str] = {}
    for name, column in columns.items():
        value = row.get(column)
        if isinstance(value, str):
            texts[name] = value
            continue
        texts[name] = ""
        if value is not None:
            flaws.append(_wrong(f"`{column}` is {kind_of(value)}, not a string"))
        elif name in REQUIRED[format] and name not in ("output", "completion"):
            flaws.append(Flaw("missing-field", f"`{column}` is null"))
    example = Example(record, format, texts=tuple(texts.values()), flaws=tuple(flaws))
    if format == "text":
        return example
    if format == "alpaca":
        example.input = texts.get("input", "")
        parts = [part for part in (texts["instruction"], example.input) if part]
        example.prompt, example.answers = "\n\n".join(parts), (texts["output"],)
    else:
        example.prompt, example.answers = texts["prompt"], (texts["completion"],)
        example.chosen = isinstance(row.get("label"), bool)
    return example


def _keys_of_turn(turns: Any) -> tuple[str, str]:
    first = turns[0] if isinstance(turns, list) and turns else None
    sharegpt = isinstance(first, dict) and "from" in first and "role" not in first
    return ("from", "value") if sharegpt else ("role", "content")


def _chat(record: Record, row: Mapping[str, Any], layout: Layout) -> Example:
    columns = layout.columns
    column = columns.get("messages") or columns["conversations"]
    turns = row[column]
    if turns is None:
        flaw = Flaw("missing-field", f"`{column}` is null")
        return Example(record, layout.format, flaws=(flaw,))
    if not isinstance(turns, list):
        flaw = _wrong(f"`{column}` is {kind_of(turns)}, not an array of turns")
        return Example(record, layout.format, flaws=(flaw,))
    inner = (
        (columns["role"], columns["content"])
        if layout.format == "messages"
        else (columns["from"], columns["value"])
    )
    example = _turns(record, turns, layout.format, inner)
    for name in ("system", "tools"):  # both become part of what the model reads
        said = row.get(name)
        if said:
            text = said if isinstance(said, str) else json.dumps(said, default=str)
            example.texts = (*example.texts, text)
    return example


def _turns(record: Record, turns: list[Any], format: str, inner: tuple[str, str]) -> Example:
    """Read a conversation, and see what is wrong with its order."""
    speaker, content = inner
    read: list[Turn] = []
    flaws: list[Flaw] = []
    for number, turn in enumerate(turns, 1):
        if not isinstance(turn, dict):
            flaws.append(_wrong(f"turn {number} is {kind_of(turn)}, not an object"))
            continue
        name = turn.get(speaker)
        if not isinstance(name, str):
            if speaker in turn:
                flaws.append(_wrong(f"`{speaker}` of turn {number} is {kind_of(name)}"))
            else:
                flaws.append(Flaw("missing-field", f"turn {number} lacks `{speaker}`"))
            continue
        called = turn.get("tool_calls") or turn.get("function_call")
        if content not in turn and not called:
            flaws.append(Flaw("missing-field", f"turn {number} lacks `{content}`"))
            continue
        text = content_text(turn.get(content))
        if text is None:
            what = kind_of(turn[content])
            flaws.append(_wrong(f"`{content}` of turn {number} is {what}, not a string"))
            continue
        if called:
            text = f"{text}\n{json.dumps(called, ensure_ascii=False, default=str)}".strip()
        role = KNOWN_ROLES.get(name)
        if role is None:
            flaws.append(Flaw("role-order", f"turn {number} has the unknown role `{name[:40]}`"))
        elif not text.strip():
            flaws.append(Flaw("empty-turn", f"turn {number} ({name}) is empty"))
        read.append(Turn(role or name, text))
    flaws += _order(read) if not flaws or read else []
    prompt = "\n".join(turn.text for turn in read if turn.role == "user")
    answers = tuple(turn.text for turn in read if turn.role == "assistant")
    texts = tuple(turn.text for turn in read)
    return Example(record, format, prompt, answers, texts, tuple(read), flaws=tuple(flaws))


def _order(turns: list[Turn]) -> list[Flaw]:
    """Return what is wrong with the order of the roles, at most the first of each kind."""
    flaws: list[Flaw] = []
    before = ""
    for number, turn in enumerate(turns, 1):
        role, words = turn.role, ""
        if role == "system":
            if number > 1 and before != "system":
                words = f"turn {number} is a system turn in the middle"
        elif role == before and role == "user":
            words = f"turns {number - 1} and {number} are both the user's"
        elif role == "assistant" and before in ("", "system"):
            words = f"turn {number}, the first, is the assistant's"
        elif role == "tool" and before not in ("assistant", "tool"):
            words = f"turn {number} is a tool's answer to no call"
        elif role == "user" and before == "tool":
            words = f"turn {number} is the user's, where the assistant should read the tool's"
        elif (
            role == "assistant" and before == "assistant" and not _call(turns[number - 2 : number])
        ):
            words = f"turns {number - 1} and {number} are both the assistant's"
        if words:
            flaws.append(Flaw("role-order", words))
            break
        before = role
    if not any(turn.role == "assistant" for turn in turns):
        flaws.append(Flaw("no-answer-turn", "has no turn of the assistant"))
    elif turns[-1].role in ("user", "system") and not flaws:
        flaws.append(Flaw("role-order", "ends with the user's turn: nothing answers it"))
    return flaws


def _call(turns: list[Turn]) -> bool:
    """Say whether one of two turns is a call of a tool: calls may follow words and each other."""
    return any(turn.text.lstrip()[:1] in ("{", "[", "<") for turn in turns)


def _preference(record: Record, row: Mapping[str, Any], layout: Layout) -> Example:
    """Read a prompt with a chosen and a rejected answer, as texts or as turns."""
    flaws: list[Flaw] = []
    sides: dict[str, str] = {}
    prompt, before = _prompt_of(row.get(layout.columns.get("prompt", ""), ""))
    if prompt is None:
        flaws.append(_wrong(f"`{layout.columns['prompt']}` is neither a string nor turns"))
    for side in ("chosen", "rejected"):
        column = layout.columns[side]
        value = row[column]
        said, text = _answer_of(value)
        if text is None:
            kind = (
                Flaw("missing-field", f"`{column}` is null")
                if value is None
                else _wrong(f"`{column}` is {kind_of(value)}, not an answer")
            )
            flaws.append(kind)
        sides[side], before = text or "", before or said
    texts = tuple(part for part in (prompt or before, sides["chosen"], sides["rejected"]))
    if not flaws and sides["chosen"].strip() and sides["chosen"] == sides["rejected"]:
        flaws.append(Flaw("chosen-is-rejected", "the chosen and the rejected answer are the same"))
    return Example(
        record,
        "preference",
        prompt or before,
        (sides["chosen"],),
        texts,
        flaws=tuple(flaws),
        chosen=True,
    )


def _prompt_of(value: Any) -> tuple[str | None, str]:
    if isinstance(value, list):
        example = _turns(Record(0, None), value, "", _keys_of_turn(value))
        wrong = any(flaw.rule in ("wrong-type", "missing-field") for flaw in example.flaws)
        return (None if wrong else example.prompt), ""
    return (value if isinstance(value, str) else "" if value is None else None), ""


def _answer_of(value: Any) -> tuple[str, str | None]:
    """Return what stands before an answer, and the answer; None where there is none."""
    if isinstance(value, str):
        return "", value
    if isinstance(value, dict):
        value = [value]
    if isinstance(value, list) and value:
        example = _turns(Record(0, None), value, "", _keys_of_turn(value))
        if not any(flaw.rule in ("wrong-type", "missing-field") for flaw in example.flaws):
            return example.prompt, example.answer
    return "", None
