"""Views of a run: one line an event, or (live_view.py) a display on a terminal."""

from __future__ import annotations

import sys
from typing import Protocol, TextIO

from ftspec.runtime.events import Event


class View(Protocol):
    """Shows a run to somebody."""

    def event(self, event: Event) -> None:
        """Show an event of the run."""

    def note(self, text: str) -> None:
        """Show a sentence about the run."""

    def close(self) -> None:
        """Leave the screen as it should stay."""


def describe(event: Event) -> str | None:
    """Return an event as one plain line, or None for those that say nothing to a reader."""
    kind, step = event["event"], event.get("step")
    match kind:
        case "launch":
            return f"run {event.get('run')}: loading the model and the data"
        case "start":
            resumed = event.get("resumed_from")
            begun = f"going on from {resumed}" if resumed else "training"
            return f"{begun}: {event.get('total_steps')} steps, {event.get('train_rows')} rows"
        case "step":
            return f"step {step}: loss {_number(event.get('loss'))}, {_rate(event)}"
        case "eval":
            return f"step {step}: held-out loss {_number(event.get('loss'))}"
        case "checkpoint":
            return f"step {step}: checkpoint written"
        case "out-of-memory":
            where = "host " if event.get("where") == "host" else ""
            return f"out of {where}memory in phase {event.get('phase')}"
        case "disk-full":
            need, free = (int(event.get(key) or 0) for key in ("need_bytes", "free_bytes"))
            return f"step {step}: a checkpoint needs {_size(need)}, and {_size(free)} are free"
        case "stop":
            return f"stopped at step {step}"
        case "end":
            return f"finished at step {step}"
    return None


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"


def _number(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else "not known"


def _rate(event: Event) -> str:
    rate = event.get("tokens_per_second")
    return f"{rate:,.0f} tokens/s" if isinstance(rate, int | float) else "no rate"


class PlainView:
    """One line an event."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr

    def event(self, event: Event) -> None:
        """Print the event's line."""
        line = describe(event)
        if line is not None:
            print(line, file=self.stream, flush=True)  # noqa: T201

    def note(self, text: str) -> None:
        """Print a sentence."""
        print(text, file=self.stream, flush=True)  # noqa: T201

    def close(self) -> None:
        """Nothing has to be undone."""


def view_for(stream: TextIO, predicted: int | None = None) -> View:
    """Return the view for a stream: live on a terminal that can draw, plain elsewhere.

    predicted: the allocator's peak that the plan predicts, in bytes.
    """
    import os

    if stream.isatty() and os.environ.get("TERM") != "dumb":
        from ftspec.runtime.live_view import LiveView

        return LiveView(predicted)
    return PlainView(stream)
