"""The flaws of form that reading a row has noted; a rule tells those of its name."""

from __future__ import annotations

from ftspec.doctor.data.example import Example
from ftspec.doctor.data.hits import Hit
from ftspec.doctor.data.rule import Look


def flaw(name: str) -> Look:
    """Return a look at rows that finds the flaws of one name."""

    def look(example: Example) -> Hit | None:
        for found in example.flaws:
            if found.rule == name:
                return Hit(found.words, example.record.raw or example.text)
        return None

    return look
