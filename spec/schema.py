"""The JSON Schema of what a user may write: the full form, its short forms, and the flat form."""

from __future__ import annotations

from typing import Any

from ftspec.spec.canonical import FLAT_ROUTES, SECTIONS_OF_THE_FULL_FORM
from ftspec.spec.model import Spec

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]

# A section that may be written as one value, and what that value says.
SHORT_FORMS = {
    "model": "Hub id, local folder or GGUF file; in short for `{name: …}`.",
    "method": "The method's name; in short for `{type: …}`.",
    "data": "A path, a glob, a hub id or a list of them; in short for `{train: …}`.",
    "hardware": "`auto`: detected; or a card's name, in short for `{gpu: …}`.",
}
_INNER = {"model": "name", "method": "type", "data": "train", "hardware": "gpu"}
_EMPTY_ALLOWED = ("data", "hardware", "train", "tune", "run")


def json_schema() -> Schema:
    """Return the JSON Schema (draft 2020-12) of a spec; the same bytes at every call."""
    full: Schema = _tidy(Spec.model_json_schema())
    sections: Schema = full.pop("$defs")
    return {
        "$schema": DIALECT,
        "title": "ftspec",
        "description": "What to fine-tune, on what, and how. What is left out, the plan decides.",
        "anyOf": [_full_form(full, sections), _flat_form(full, sections)],
        "$defs": sections,
    }


def _full_form(full: Schema, sections: Schema) -> Schema:
    properties = {
        key: _with_short_form(key, schema, sections) for key, schema in full["properties"].items()
    }
    description = "Keys in sections; some sections may be written as one value."
    return {**full, "title": "Full form", "description": description, "properties": properties}


def _with_short_form(key: str, schema: Schema, sections: Schema) -> Schema:
    if "$ref" not in schema:
        return schema
    section = sections[schema["$ref"].rpartition("/")[2]]
    forms: list[Schema] = [{"$ref": schema["$ref"]}]
    if key in _EMPTY_ALLOWED:
        forms.append({"type": "null"})
    if key in SHORT_FORMS:
        inner = {k: v for k, v in section["properties"][_INNER[key]].items() if k != "default"}
        forms.insert(0, {**inner, "description": SHORT_FORMS[key]})
    return {"description": section["description"], "anyOf": forms}


def _flat_form(full: Schema, sections: Schema) -> Schema:
    """Return the guide's quick reference: every key at the left margin."""
    shared = {key: _with_short_form(key, full["properties"][key], sections) for key in _shared()}
    properties = {**shared, **{key: _flat_key(key, sections) for key in FLAT_ROUTES}}
    return {
        "title": "Flat form",
        "description": "The same language in short: no sections, and LoRA or QLoRA only.",
        "type": "object",
        "properties": properties,
        "required": ["model"],
        "anyOf": [{"required": [key]} for key in FLAT_ROUTES],
        "additionalProperties": False,
    }


def _shared() -> list[str]:
    return [key for key in Spec.model_fields if key not in SECTIONS_OF_THE_FULL_FORM]


def _flat_key(key: str, sections: Schema) -> Schema:
    if key == "use_4bit":
        return {
            "type": "boolean",
            "description": "true: QLoRA, on a base in 4 bits; false: LoRA.",
        }
    section, inner = FLAT_ROUTES[key]
    schema: Schema = sections[section.capitalize()]["properties"][inner]
    return schema


def _tidy(node: Any) -> Any:
    """Drop generated titles and empty defaults, and flatten nested alternatives."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {
        key: _tidy(value)
        for key, value in node.items()
        if not (key == "title" and isinstance(value, str)) and (key, value) != ("default", None)
    }
    if "anyOf" in kept:
        kept["anyOf"] = [arm for item in kept["anyOf"] for arm in _arms(item)]
    return kept


def _arms(schema: Schema) -> list[Schema]:
    return list(schema["anyOf"]) if set(schema) == {"anyOf"} else [schema]
