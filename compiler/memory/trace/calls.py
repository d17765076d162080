"""Operations that allocate inside of themselves, described without tensors: no torch here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ftspec.compiler.memory.trace.cards import Capability
from ftspec.compiler.memory.trace.workspaces import WORKSPACES


@dataclass(frozen=True)
class Call:
    """An operation that allocates inside: its name, and what of its arguments decides how much.

    A tensor is ("tensor", shape, bytes an element, dtype's name, whether it is contiguous).
    """

    name: str
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...]
    out: tuple[Any, ...]


@dataclass(frozen=True)
class _Described:
    """Stand for a tensor where only its shape and dtype count."""

    shape: tuple[int, ...]
    itemsize: int
    dtype: str
    contiguous: bool

    def is_contiguous(self) -> bool:
        return self.contiguous

    def element_size(self) -> int:
        return self.itemsize

    def numel(self) -> int:
        return math.prod(self.shape)

    def dim(self) -> int:
        return len(self.shape)


def inside(call: Call, capability: Capability) -> list[int]:
    """Return the bytes of each block that an operation allocates inside of itself."""
    args = tuple(_tensor(one) for one in call.args)
    kwargs = {name: _tensor(one) for name, one in call.kwargs}
    out = tuple(_tensor(one) for one in call.out)
    first = out[0] if len(out) == 1 else out
    return list(WORKSPACES[call.name](args, kwargs, first, capability))


def _tensor(one: Any) -> Any:
    if not isinstance(one, tuple):
        return one
    return _Described(*one[1:]) if one[:1] == ("tensor",) else tuple(_tensor(item) for item in one)
