"""How a finding names several keys at once."""

from __future__ import annotations

from collections.abc import Sequence


def listed(names: Sequence[str], word: str = "and") -> str:
    """Return names in backticks as a phrase: `` `r`, `alpha` and `dropout` ``."""
    quoted = [f"`{name}`" for name in names]
    if len(quoted) < 2:
        return "".join(quoted)
    return f"{', '.join(quoted[:-1])} {word} {quoted[-1]}"


def verb(names: Sequence[str], one: str, several: str) -> str:
    """Return the form of a verb that agrees with the number of names."""
    return one if len(names) == 1 else several
