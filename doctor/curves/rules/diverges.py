"""A loss that runs away: it was lower once, and rises until the end.

What it finds
    Runs whose last tenth lies above the lowest point of the smoothed curve by more than a fifth
    of that level, by more than five times the noise between neighbouring records, and by more
    than a tenth of all that had been gained.

Why it matters
    The weights get worse with each step. The last checkpoint is not the best one, and often not
    better than the base model.

Evidence it needs
    8 losses, the lowest point not in the last eighth of them.

Example
    ```
    step 1: 1.64   step 2: 11.8   step 3: 10.4   …   step 10: 10.4      (learning rate 5)
    ```

What to do
    Lower the learning rate tenfold, or to what is usual for the method, and start again from
    before the rise. If it rises again at the same rows whatever the rate, look at the rows.

References
    Thresholds: research on 261 real logs, where they found 6 of 6 without a false alarm on 133
    healthy ones (they were chosen on those logs). Kinds of spikes and divergence:
    stas00/ml-engineering, training/instabilities.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.statistics import median, noise_scale, rolling_median
from ftspec.doctor.curves.words import at, factor, figure, share, span
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

RECORDS = 8
RISE = 0.20  # of the lowest level
RISE_IN_NOISE = 5.0  # of the noise scale of one record
RISE_OF_GAIN = 0.10  # of the way from the start down to the lowest level
TAIL = 10  # the end is judged on the last 1/10 of the records


@dataclass(frozen=True, slots=True)
class Divergence:
    """Where the curve was lowest, where it left that level for good, and where it ended."""

    lowest: int
    onset: int
    floor: float
    end: float
    noise: float
    start: float


def divergence(run: Run) -> Divergence | None:
    """Return how the run diverges, or None where it does not."""
    losses = run.losses
    size = len(losses)
    if size < RECORDS or run.is_reinforcement:
        return None
    smooth = _smooth(losses)
    lowest = min(range(size), key=smooth.__getitem__)
    floor, end = smooth[lowest], median(losses[-max(3, size // TAIL) :])
    noise, rise = noise_scale(losses), end - floor
    if lowest >= size - size // 8 or rise <= max(RISE * abs(floor), RISE_IN_NOISE * noise):
        return None
    if rise <= RISE_OF_GAIN * (smooth[0] - floor):
        return None
    left = floor + max(0.1 * rise, 2 * noise)
    onset = max(i for i in range(size) if smooth[i] <= left or i == lowest)
    return Divergence(lowest, min(onset + 1, size - 1), floor, end, noise, losses[0])


def _smooth(losses: list[float]) -> list[float]:
    """Return the running median; near the start over as few records as stand before."""
    window = min(51, max(3, len(losses) // 20)) | 1
    start = [median(losses[: 2 * place + 1]) for place in range(window // 2)]
    return start + rolling_median(losses, window)[len(start) :]


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for a loss that rises until the end."""
    seen = divergence(run)
    if seen is None:
        return
    curve = run.curve
    rise = seen.end - seen.floor
    worse = f", above the start ({figure(seen.start)})" if seen.end > seen.start else ""
    at_onset = f"rises from {at(curve, seen.onset)}"
    if seen.floor > 0 and seen.end / seen.floor >= 2:
        by = factor(seen.end / seen.floor)
        title = f"the loss {at_onset} on and ends at {by} its lowest level"
    else:
        title = f"the loss {at_onset} on and ends {share(rise / abs(seen.floor))} above its lowest"
    yield RULE.finding(
        title,
        found=f"lowest level {figure(seen.floor)} around {at(curve, seen.lowest)}, "
        f"{figure(seen.end)} at the end{worse}; noise between records {figure(seen.noise)}",
        help="go back to a checkpoint before the rise and lower the learning rate",
        evidence={
            "steps": span(curve, seen.onset, len(curve) - 1),
            "lowest": seen.floor,
            "lowest_step": curve[seen.lowest].step,
            "end": seen.end,
            "start": seen.start,
            "noise": seen.noise,
            "threshold": seen.floor + max(RISE * abs(seen.floor), RISE_IN_NOISE * seen.noise),
            "learning_rate": curve[seen.onset].learning_rate,
        },
        confidence=0.95 if seen.end > seen.start else 0.8,
    )


RULE = Rule("FT402", "diverges", Severity.ERROR, find)
