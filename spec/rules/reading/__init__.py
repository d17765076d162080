"""What can go wrong in reading a spec's text, before its keys mean anything."""

from ftspec.spec.rules.reading import (
    broken_yaml,
    duplicate_key,
    empty_spec,
    key_not_text,
    not_a_mapping,
    not_text,
    several_documents,
    tab_indentation,
    too_deep,
    too_large,
    too_many_nodes,
    unknown_anchor,
    yaml_tag,
)

READING_RULES = (
    not_text.RULE,
    broken_yaml.RULE,
    tab_indentation.RULE,
    duplicate_key.RULE,
    empty_spec.RULE,
    not_a_mapping.RULE,
    too_deep.RULE,
    too_many_nodes.RULE,
    several_documents.RULE,
    too_large.RULE,
    yaml_tag.RULE,
    key_not_text.RULE,
    unknown_anchor.RULE,
)

__all__ = [
    "READING_RULES",
    "broken_yaml",
    "duplicate_key",
    "empty_spec",
    "key_not_text",
    "not_a_mapping",
    "not_text",
    "several_documents",
    "tab_indentation",
    "too_deep",
    "too_large",
    "too_many_nodes",
    "unknown_anchor",
    "yaml_tag",
]
