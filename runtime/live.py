"""Views of a run: a live display on a terminal, one line an event elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

from ftspec.runtime.events import Event

if TYPE_CHECKING:
    from rich.progress import Progress


def describe(event: Event) -> str | None:
    """Return an event as one plain line, or None for those that say nothing to a reader."""
    kind, step = event["event"], event.get("step")
    match kind:
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
            return f"out of memory in phase {event.get('phase')}"
        case "stop":
            return f"stopped at step {step}"
        case "end":
            return f"finished at step {step}"
    return None


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


class LiveView:
    """A progress bar with loss, tokens a second and the time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True)
        self._progress: Progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[facts]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=self._console,
        )
        self._task = self._progress.add_task("loading", total=1, facts="")
        self._held_out = ""
        self._progress.start()

    def event(self, event: Event) -> None:
        """Move the bar, and print what is worth keeping above it."""
        match event["event"]:
            case "start":
                self._progress.reset(
                    self._task, total=event.get("total_steps") or 1, description="training"
                )
                if event.get("resumed_from"):
                    self.note(f"going on from {event['resumed_from']}")
            case "step":
                facts = f"loss {_number(event.get('loss'))}  {_rate(event)}{self._held_out}"
                self._progress.update(self._task, completed=event.get("step"), facts=facts)
            case "eval":
                self._held_out = f"  held-out {_number(event.get('loss'))}"
            case "out-of-memory" | "stop":
                self.note(describe(event) or "")

    def note(self, text: str) -> None:
        """Print a sentence above the bar."""
        self._console.print(text, highlight=False)

    def close(self) -> None:
        """Stop drawing; the last state of the bar stays."""
        self._progress.stop()


def view_for(stream: TextIO) -> PlainView | LiveView:
    """Return the view for a stream: live on a terminal that can draw, plain elsewhere."""
    import os

    if stream.isatty() and os.environ.get("TERM") != "dumb":
        return LiveView()
    return PlainView(stream)
