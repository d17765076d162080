"""Python's JSON decoder, with what it lets pass noted, and faults in the words of a reader."""

from __future__ import annotations

import json
from typing import Any

# Values nested deeper than Python's stack, and numbers of more digits than it converts.
NOT_JSON = (ValueError, RecursionError)


class Decoder:
    """Decodes one value; `odd` names the last number that is no JSON (`NaN`) until it is taken."""

    def __init__(self) -> None:
        self.odd = ""
        self.raw_decode = json.JSONDecoder(
            parse_constant=self._constant, parse_float=self._float
        ).raw_decode

    def taken(self) -> str:
        """Return the odd number seen since the last call."""
        odd, self.odd = self.odd, ""
        return odd

    def _constant(self, name: str) -> float:
        self.odd = name
        return float(name)

    def _float(self, text: str) -> float:
        value = float(text)
        if value in (float("inf"), float("-inf")):
            self.odd = text[:40]
        return value


def words_of(error: Exception) -> str:
    """Return what is wrong with a JSON text, in a few words."""
    if isinstance(error, RecursionError):
        return "is nested too deep"
    if isinstance(error, json.JSONDecodeError):
        return error.msg[:1].lower() + error.msg[1:].removesuffix(" at").removesuffix(" starting")
    return str(error).split(";")[0]


def place_of(error: Exception) -> int:
    """Return where a JSON text is at fault, in characters from 0."""
    return error.pos if isinstance(error, json.JSONDecodeError) else 0


def undecodable(error: UnicodeDecodeError) -> str:
    """Return what is wrong with bytes that are no UTF-8."""
    return f"is not UTF-8: byte 0x{error.object[error.start]:02X}"


def encodes(value: Any) -> bool:
    """Say whether a text can be written as UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
