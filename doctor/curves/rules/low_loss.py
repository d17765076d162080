"""A loss too low to be true, as two rules tell it: what it is, and what it is not."""

from __future__ import annotations

from dataclasses import dataclass

from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.statistics import median

LOSSES = 5
LOW = 0.02  # of any loss: 98 % on every token
LOW_FOR_TEXT = 0.10  # a perplexity of 1.1; English text has no less than 1.7 nats a token
TEXT_START = 1.5  # a loss above it at the start is no classifier of up to four classes
OF_START = 0.05
NEAR = 3.0  # held-out loss up to so many times the training loss is as low
OFTEN = 2.5  # epochs, after which rows can be known by heart


@dataclass(frozen=True, slots=True)
class LowLoss:
    """Start and end of a training loss that is too low; the last held-out loss and the epochs."""

    start: float
    end: float
    held_out: float | None
    epochs: float | None
    limit: float

    @property
    def shared(self) -> bool:
        """Say whether the held-out rows are predicted as well as the trained ones."""
        return self.held_out is not None and self.held_out < max(NEAR * self.end, LOW)

    @property
    def by_heart(self) -> bool:
        """Say whether memory explains it: other rows fare worse, or rows came again and again."""
        if self.held_out is not None:
            return not self.shared
        return self.epochs is None or self.epochs >= OFTEN


def low_loss(run: Run) -> LowLoss | None:
    """Return how low a run's loss ended, or None where it is none too low.

    1.7 nats: Shannon, Prediction and entropy of printed English, 1951, finds 0.6 to 1.3 bits a
    letter; at four letters a token that is 1.7 to 3.6 nats.
    """
    losses = run.losses
    if len(losses) < LOSSES or run.is_reinforcement:
        return None
    start, end = max(losses[:3]), median(losses[-max(3, len(losses) // 10) :])
    limit = LOW_FOR_TEXT if start > TEXT_START else LOW
    if not 0 <= end < min(limit, OF_START * start):
        return None
    held_out = [record.loss for record in run.held_out if record.loss is not None]
    epoch = run.curve[-1].epoch
    return LowLoss(start, end, held_out[-1] if held_out else None, epoch, limit)
