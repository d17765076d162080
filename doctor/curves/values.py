"""Values as trainers log them: numbers, numbers in quotes, NaN in many spellings."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

NAN = float("nan")

_WRAPPED = re.compile(r"(?:np|numpy|torch|jnp|tf)?\.?\w+\(([^(),]+)(?:,[^()]*)?\)")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d*)?(?:[eE][-+]?\d+)?")
_NOT_A_NUMBER = {"nan", "+nan", "-nan", "nan.0", "-nan(ind)", "1.#qnan", "-1.#ind", "-inf"}
_OF_TOTAL = re.compile(r"\s*([\d,.]+)\s*/\s*([\d,]+)\s*")


def number(value: Any) -> float | None:
    """Return a logged value as a float, or None where it is not a number.

    Strings are read (transformers 5 quotes what it prints), also with commas between thousands
    and as `np.float64(…)` or `tensor(…)`; `nan` and `inf` are numbers here.
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float | str):
        try:
            return float(value)
        except (ValueError, OverflowError):
            return _spelt(value.strip()) if isinstance(value, str) else None
    return None


def _spelt(text: str) -> float | None:
    if _THOUSANDS.fullmatch(text):
        return float(text.replace(",", ""))
    if text.lower() in _NOT_A_NUMBER:
        return NAN
    wrapped = _WRAPPED.fullmatch(text) if text.endswith(")") else None
    return number(wrapped.group(1)) if wrapped else None


def of_total(value: Any) -> tuple[float, float] | None:
    """Return both numbers of a count that is logged with its total: "601/2161"."""
    match = _OF_TOTAL.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    done, total = number(match.group(1)), number(match.group(2))
    return None if done is None or total is None else (done, total)


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
