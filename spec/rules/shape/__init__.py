"""What can be wrong with single keys and values: names, types, ranges, presence."""

from ftspec.spec.rules.shape import (
    missing_key,
    mixed_forms,
    no_data,
    out_of_range,
    unknown_key,
    wrong_type,
)

SHAPE_RULES = (
    unknown_key.RULE,
    wrong_type.RULE,
    out_of_range.RULE,
    missing_key.RULE,
    mixed_forms.RULE,
    no_data.RULE,
)

__all__ = [
    "SHAPE_RULES",
    "missing_key",
    "mixed_forms",
    "no_data",
    "out_of_range",
    "unknown_key",
    "wrong_type",
]
