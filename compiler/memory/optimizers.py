"""What optimizers keep of each trained parameter, and what they need while they step.

Sources: torch/optim/adam.py, sgd.py; bitsandbytes 0.50 optim/optimizer.py; transformers 5.23
optimization.py (Adafactor) and trainer_optimizer.py, which keeps embeddings in 32 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

LEAST_8BIT = 4096  # elements under which bitsandbytes keeps float32 states
LEAST_PAGED = 100_000  # elements under which a paged optimizer's states are not paged
BLOCK = 256  # elements of a block of 8-bit states
MAPS = 2 * 1024  # bytes of bitsandbytes' two tables of 256 float32


@dataclass(frozen=True, slots=True)
class Parameter:
    """A trained parameter: its shape, bytes an element, and whether it is an embedding's."""

    shape: tuple[int, ...]
    bytes_each: int
    embedding: bool = False

    @property
    def elements(self) -> int:
        """The number of elements."""
        total = 1
        for size in self.shape:
            total *= size
        return total


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes for one parameter: blocks of state, managed memory outside of the allocator, and what
    is needed beside them while this parameter steps (`passing`) or while all do (`during`).
    """

    state: tuple[int, ...] = ()
    paged: tuple[int, ...] = ()
    passing: tuple[int, ...] = ()
    during: tuple[int, ...] = ()


def _fused(p: Parameter) -> Need:
    """Two moments, and the step's count on the card."""
    size = p.elements * p.bytes_each
    return Need(state=(4, size, size))


def _foreach(p: Parameter) -> Need:
    """Two moments; the square roots of all second moments at once (_multi_tensor_adam)."""
    size = p.elements * p.bytes_each
    return Need(state=(size, size), during=(size,))


def _bits(bits: int, paged: bool) -> Callable[[Parameter], Need]:
    def need(p: Parameter) -> Need:
        n = p.elements
        wide = bits == 32 or n < LEAST_8BIT or p.embedding
        states = (4 * n,) * 2 if wide else (n,) * 2
        maxima = () if wide else (4 * -(-n // BLOCK),) * 2
        if paged and n >= LEAST_PAGED:
            return Need(state=maxima, paged=states)
        return Need(state=(*states, *maxima))

    return need


def _adafactor(p: Parameter) -> Need:
    """Rows' and columns' means of a matrix, the weight's RMS; float32 copies while it steps."""
    n = p.elements
    wide = () if p.bytes_each == 4 else (4 * n, 4 * n)  # gradient and weight in float32
    if len(p.shape) < 2:
        return Need(state=(4 * n, 4), passing=(*wide, 4 * n, 4 * n))
    rows, columns = n // p.shape[-1], n // p.shape[-2]
    return Need(state=(4 * rows, 4 * columns, 4), passing=(*wide, 4 * n, 4 * n))


OPTIMIZERS: Mapping[str, Callable[[Parameter], Need]] = MappingProxyType(
    {
        "adamw_torch_fused": _fused,
        "adamw_torch": _foreach,
        "adamw_8bit": _bits(8, paged=False),
        "paged_adamw_8bit": _bits(8, paged=True),
        "paged_adamw_32bit": _bits(32, paged=True),
        "adafactor": _adafactor,
        "sgd": lambda p: Need(),
    }
)
