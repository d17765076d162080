"""A run on a terminal: how far it is, a small curve of the loss, memory, the time that is left."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ftspec.doctor.chart import ASCII, BLOCKS, Scale
from ftspec.doctor.curves.statistics import median
from ftspec.runtime.events import Event
from ftspec.runtime.live import describe
from ftspec.runtime.summary import duration

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

GIB = 2**30
ROWS = 4  # of the curve
WIDEST = 100  # columns that are used; a curve over a whole wide screen is no small one
MARGIN = 8  # columns left of the curve, for its highest and lowest value
PACE = 30  # steps logged: the time left is told from the last so many
REFRESHES = 2  # a second
STYLES = (("error", "red"), ("warning", "yellow"))


class LiveView:
    """Draws where a run stands, from its launch on; what is worth keeping is printed above.

    predicted: the allocator's peak that the plan predicts, in bytes.
    """

    def __init__(self, predicted: int | None = None, console: Console | None = None) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = console or Console(stderr=True)
        self._unicode = (self._console.encoding or "").lower().startswith("utf")
        self._predicted = predicted
        self._losses: dict[int, float] = {}
        self._pace: deque[tuple[int, float]] = deque(maxlen=PACE)
        self._last: Event = {}
        self._held_out: float | None = None
        self._memory: int | None = None
        self._total, self._step = 0, 0
        self._doing = "loading"
        self._live = Live(
            console=self._console,
            get_renderable=self._drawn,
            refresh_per_second=REFRESHES,
            vertical_overflow="crop",
        )

    def event(self, event: Event) -> None:
        """Take an event in, and print what is worth keeping."""
        step = event.get("step")
        match event["event"]:
            case "launch" | "attach":
                self._doing = "loading"
                self._live.start()
            case "earlier":  # what stands in the log of the attempts before
                self._losses.update(event["losses"])
            case "start":
                self._begin(event)
            case "step" if isinstance(step, int):
                self._take(step, event)
            case "eval":
                self._held_out = _number(event.get("loss"))
            case "out-of-memory" | "stop" | "disk-full":
                self.note(describe(event) or "")
            case "end":
                self._doing = "finished"

    def _begin(self, event: Event) -> None:
        self._doing, self._total = "training", event.get("total_steps") or 0
        self._step = event.get("step") or 0
        self._pace.clear()
        self._pace.append((self._step, float(event.get("time") or 0)))
        self._losses = {at: loss for at, loss in self._losses.items() if at <= self._step}
        if event.get("resumed_from"):
            self.note(f"going on from {event['resumed_from']}")

    def _take(self, step: int, event: Event) -> None:
        self._step, self._last = step, event
        self._pace.append((step, float(event.get("time") or 0)))
        loss, used = _number(event.get("loss")), event.get("memory_bytes")
        self._losses[step] = math.nan if loss is None else loss
        if isinstance(used, int):
            self._memory = max(self._memory or 0, used)

    def note(self, text: str) -> None:
        """Print a sentence above the display."""
        style = next((style for word, style in STYLES if text.startswith(f"{word}[")), None)
        self._console.print(text, style=style, markup=False, highlight=False)

    def close(self) -> None:
        """Stop drawing; the last state stays."""
        if self._live.is_started:
            self._live.stop()

    def _drawn(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        width = min(WIDEST, self._console.width)
        lines = [self._head(width)]
        if self._doing != "loading" or self._losses:
            losses = list(self._losses.values())
            lines += small_curve(losses, width - MARGIN - 2, self._unicode)
            lines += wrapped(self._facts(), width, "  ·  " if self._unicode else ", ")
        return Group(*(Text(line, no_wrap=True, overflow="crop") for line in lines))

    def _head(self, width: int) -> str:
        """Return `training  120/300  40 %  ━━━━━────  3 min 12 s left`."""
        if not self._total:
            return f"{self._doing} ..."
        share = min(1.0, self._step / self._total)
        left, right = f"{self._doing}  {self._step}/{self._total}", f"{100 * share:3.0f} %"
        seconds = self._seconds_left()
        if seconds is not None and self._step < self._total:
            right += f"  {duration(seconds)} left"
        room = width - len(left) - len(right) - 4
        if room < 5:
            return f"{left}  {right}"
        done = round(share * room)
        full, empty = ("━", "─") if self._unicode else ("#", "-")
        return f"{left}  {full * done}{empty * (room - done)}  {right}"

    def _seconds_left(self) -> float | None:
        """Return the time to the last step at the pace of the last ones; pauses count."""
        if len(self._pace) < 2:
            return None
        (first, began), (last, now) = self._pace[0], self._pace[-1]
        if last <= first or now <= began:
            return None
        return (now - began) / (last - first) * max(0, self._total - last)

    def _facts(self) -> list[str]:
        loss, norm = (_number(self._last.get(key)) for key in ("loss", "grad_norm"))
        rate, speed = (
            _number(self._last.get(key)) for key in ("learning_rate", "tokens_per_second")
        )
        found = [
            f"loss {loss:.3f}" if loss is not None else "",
            f"held out {self._held_out:.3f}" if self._held_out is not None else "",
            f"gradient norm {norm:.3g}" if norm is not None else "",
            f"learning rate {rate:.2e}" if rate is not None else "",
            f"{speed:,.0f} tokens/s" if speed is not None else "",
            self._memory_words(),
        ]
        return [fact for fact in found if fact]

    def _memory_words(self) -> str:
        if self._memory is None:
            return ""
        used = f"{self._memory / GIB:.2f}"
        if not self._predicted:
            return f"GPU memory {used} GiB"
        predicted = f"{self._predicted / GIB:.2f}"
        return f"GPU memory {used} of {predicted} GiB predicted"


def small_curve(losses: Sequence[float], width: int, unicode: bool = True) -> list[str]:
    """Return the losses as a few rows of blocks, a column's median each; `!` is not finite."""
    count = min(width, len(losses))
    if count < 2:
        return []
    parts = [
        losses[column * len(losses) // count : (column + 1) * len(losses) // count]
        for column in range(count)
    ]
    values = [median(part) if all(map(math.isfinite, part)) else None for part in parts]
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return []
    scale, ramp = Scale.of(known, ROWS), BLOCKS if unicode else ASCII
    heights = [scale.height(value) for value in values]
    rows = ["".join(_cell(height, row, ramp) for height in heights) for row in range(ROWS)][::-1]
    labels = [_short(max(known)), *[""] * (ROWS - 2), _short(min(known))]
    edge = "▕" if unicode else "|"
    return [f"{label:>{MARGIN}}{edge}{row}" for label, row in zip(labels, rows, strict=True)]


def _cell(height: float | None, row: int, ramp: str) -> str:
    """Return a column's character in a row, counted from below."""
    if height is None:
        return "!" if row == 0 else " "
    filled = min(1.0, max(0.0, height - row))
    return ramp[math.ceil(filled * (len(ramp) - 1) - 1e-9)]


def _short(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.1e}"


def wrapped(facts: Sequence[str], width: int, between: str) -> list[str]:
    """Return facts in lines of at most a width, none of them cut where it fits alone."""
    lines: list[str] = []
    for fact in facts:
        if lines and len(lines[-1]) + len(between) + len(fact) <= width:
            lines[-1] += between + fact
        else:
            lines.append(fact)
    return lines


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
