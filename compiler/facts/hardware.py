"""The hardware a run stands on, as a value; `runtime.hardware` detects it, the spec may name it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftspec.compiler.facts.gpus import Gpu

if TYPE_CHECKING:
    from ftspec.compiler.memory.corrections import Machine


@dataclass(frozen=True, slots=True)
class Card:
    """One card: its kind, what of its memory is free, and who holds the rest (name, bytes)."""

    gpu: Gpu
    free_bytes: int
    held_by: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Hardware:
    """The cards of one node, its host memory (bytes) and cores; no cards: the CPU trains.

    `note` says what a reader should know of how it was detected. `unmeasured` names what else is
    there to compute on, by makers on whose hardware nothing was measured. `machine` is what
    `ftspec check --measure` kept of the cards that were detected.
    """

    cards: tuple[Card, ...] = ()
    host_bytes: int = 0
    cores: int = 1
    detected: bool = True
    note: str = ""
    unmeasured: tuple[str, ...] = ()
    machine: Machine | None = None

    @property
    def gpu(self) -> Gpu | None:
        """The kind that a plan is made for, or None where the CPU trains.

        Of several kinds it is the oldest (the least compute capability, the first among equals):
        what it can do, the others can.
        """
        return min((card.gpu for card in self.cards), key=_age, default=None)

    @property
    def known(self) -> Machine | None:
        """What was measured on this machine of the kind that a plan is made for."""
        gpu, machine = self.gpu, self.machine
        return machine if machine and gpu and machine.gpu == gpu.name else None

    @property
    def free_bytes(self) -> int:
        """Free bytes of the fullest card, or of the host where there is no card."""
        return min((card.free_bytes for card in self.cards), default=self.host_bytes)


def _age(gpu: Gpu) -> tuple[int, int]:
    return gpu.capability


def named(gpu: Gpu, count: int, host_bytes: int = 0, cores: int = 1) -> Hardware:
    """Return hardware made of `count` empty cards of a kind."""
    card = Card(gpu, gpu.usable_bytes)
    return Hardware((card,) * count, host_bytes, cores, detected=False)
