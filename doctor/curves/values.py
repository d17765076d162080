"""Values as trainers log them: numbers, numbers in quotes, NaN in four spellings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

NAN = float("nan")


def number(value: Any) -> float | None:
    """Return a logged value as a float, or None where it is not a number.

    Strings are read (transformers 5 quotes what it prints); `nan` and `inf` are numbers here.
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float | str):
        try:
            return float(value)
        except (ValueError, OverflowError):
            return None
    return None


def loss_of(row: Mapping[str, Any], key: str = "loss") -> float | None:
    """Return a row's loss: None where it was not logged, NaN where it was logged as null.

    JSON has no NaN: strict writers (orjson, pandas, JavaScript) put null in its place.
    """
    if key in row and row[key] is None:
        return NAN
    return number(row.get(key))


def finite(value: Any) -> float | None:
    """Return a logged value where it is a finite number, as steps and epochs are."""
    result = number(value)
    return result if result is not None and math.isfinite(result) else None


def positive(value: Any) -> float | None:
    """Return a logged value where it is a finite number above zero, as settings are."""
    result = finite(value)
    return result if result is not None and result > 0 else None


def whole(value: Any) -> int | None:
    """Return a logged value as an int, or None where it is not a number from 1 up."""
    result = positive(value)
    return int(result) if result is not None and result >= 1 else None
