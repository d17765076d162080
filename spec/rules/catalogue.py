"""All rules about a spec, in the order of their codes: `explain` and the docs read this list."""

from __future__ import annotations

from typing import Any

from ftspec.spec.rule import Rule
from ftspec.spec.rules.fields import FIELD_RULES
from ftspec.spec.rules.reading import READING_RULES
from ftspec.spec.rules.shape import SHAPE_RULES

ALL_RULES: tuple[Rule[Any], ...] = (*READING_RULES, *SHAPE_RULES, *FIELD_RULES)
