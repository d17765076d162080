"""The hardware a run stands on, as a value; `runtime.hardware` detects it, the spec may name it."""

from __future__ import annotations

from dataclasses import dataclass

from ftspec.compiler.facts.gpus import Gpu


@dataclass(frozen=True, slots=True)
class Card:
    """One card: its kind, what of its memory is free, and who holds the rest (name, bytes)."""

    gpu: Gpu
    free_bytes: int
    held_by: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Hardware:
    """The cards of one node, its host memory (bytes) and cores; no cards: the CPU trains."""

    cards: tuple[Card, ...] = ()
    host_bytes: int = 0
    cores: int = 1
    detected: bool = True
    note: str = ""

    @property
    def gpu(self) -> Gpu | None:
        """The kind of the first card, or None where the CPU trains."""
        return self.cards[0].gpu if self.cards else None

    @property
    def free_bytes(self) -> int:
        """Free bytes of the fullest card, or of the host where there is no card."""
        return min((card.free_bytes for card in self.cards), default=self.host_bytes)


def named(gpu: Gpu, count: int, host_bytes: int = 0, cores: int = 1) -> Hardware:
    """Return hardware made of `count` empty cards of a kind."""
    card = Card(gpu, gpu.usable_bytes)
    return Hardware((card,) * count, host_bytes, cores, detected=False)
